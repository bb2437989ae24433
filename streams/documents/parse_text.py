"""Plain text: which characters the bytes are."""

import codecs

from infra.documents import Unfit
from streams.documents.parsed import Parsed

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LOOK = 4096


def parse_text(content: bytes, charset: str | None) -> Parsed:
    """The text as it is."""
    return Parsed(decoded(content, charset))


def decoded(content: bytes, charset: str | None) -> str:
    """The characters, with `\\n` as the end of a line; raises Unfit when the bytes are none."""
    used = _marked(content) or charset or _wide(content) or "utf-8"
    try:
        text = content.decode(used)
        text.encode()  # an encoding may let half a character pass that no other system takes
    except (UnicodeError, LookupError) as exc:
        cure = "say its charset in the media type, as in text/plain; charset=windows-1252"
        raise Unfit("parse", "not-text", f"these bytes are no {used} ({str(exc)[:120]}): {cure}") from exc
    if "\0" in text:
        raise Unfit("parse", "not-text", "there are zero bytes in it: this is no text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _marked(content: bytes) -> str | None:
    return next((name for mark, name in MARKS if content.startswith(mark)), None)


def _wide(content: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of what is mostly ASCII is zero."""
    head = content[:LOOK]
    odd, even = head[1::2].count(0), head[0::2].count(0)
    if odd > len(head) * 0.3 and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even > len(head) * 0.3 and odd == 0 else None
