"""Which parser reads which media type: another format is one more line here, and one in infra.documents.MEDIA_TYPES."""

from collections.abc import Callable

from infra.documents import Unfit
from streams.documents.parse_html import parse_html
from streams.documents.parse_markdown import parse_markdown
from streams.documents.parse_pdf import parse_pdf
from streams.documents.parse_text import parse_text
from streams.documents.parsed import Parsed

PARSER_VERSION = 1  # a higher one parses again what is published again
PARSERS: dict[str, Callable[[bytes, str | None], Parsed]] = {
    "text/plain": parse_text,
    "text/markdown": parse_markdown,
    "text/html": parse_html,
    "application/pdf": parse_pdf,
}


def parse_bytes(content: bytes, media_type: str) -> Parsed:
    """The text of a document; raises Unfit. `media_type` may carry a charset."""
    kind, _, charset = media_type.partition("; charset=")
    parser = PARSERS.get(kind)
    if parser is None:
        raise Unfit("parse", "unsupported-media-type", f"nothing here reads {kind}")
    return parser(content, charset or None)
