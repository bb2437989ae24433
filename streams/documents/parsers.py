"""Which parser reads which media type: another format is one more line here, and one in infra.documents.MEDIA_TYPES."""

from collections.abc import Callable
from dataclasses import replace

from infra.documents import Unfit
from streams.documents.parse_html import parse_html
from streams.documents.parse_markdown import parse_markdown
from streams.documents.parse_pdf import parse_pdf
from streams.documents.parse_text import parse_text
from streams.documents.parsed import Parsed

TITLE_CHARACTERS, HEADING_CHARACTERS, HEADINGS = 500, 300, 100_000
PARSER_VERSION = 2  # a higher one parses again what is published again
PARSERS: dict[str, Callable[[bytes, str | None], Parsed]] = {
    "text/plain": parse_text,
    "text/markdown": parse_markdown,
    "text/html": parse_html,
    "application/pdf": parse_pdf,
}


def parse_bytes(content: bytes, media_type: str) -> Parsed:
    """The text of a document, with a title and headings of bounded length; raises Unfit.

    `media_type` may carry a charset.
    """
    kind, _, charset = media_type.partition("; charset=")
    parser = PARSERS.get(kind)
    if parser is None:
        raise Unfit("parse", "unsupported-media-type", f"nothing here reads {kind}")
    return _bounded(parser(content, charset or None))


def check_length(parsed: Parsed, most: int) -> None:
    """Raises Unfit for a text of more characters than this, or of too many headings."""
    if len(parsed.text) > most:
        raise Unfit("parse", "too-large", f"{len(parsed.text)} characters; {most} are allowed: publish it in parts")
    if len(parsed.headings) > HEADINGS:
        reason = f"{len(parsed.headings)} headings; {HEADINGS} are allowed: publish it in parts"
        raise Unfit("parse", "too-large", reason)


def _bounded(parsed: Parsed) -> Parsed:
    """Title and headings stand beside every passage, in prompts and in records: a sentence of them is enough."""
    title = (parsed.title or "")[:TITLE_CHARACTERS].strip() or None
    return replace(
        parsed, title=title, headings=[replace(h, text=h.text[:HEADING_CHARACTERS]) for h in parsed.headings]
    )
