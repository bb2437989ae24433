"""HTML: what a reader would see, block by block, with its headings."""

import re

from selectolax.lexbor import LexborHTMLParser, LexborNode

from streams.documents.parse_text import MARKS, _wide, decoded
from streams.documents.parsed import Heading, Parsed

HIDDEN = "button head iframe math nav noscript object script select style svg template"
UNSEEN = frozenset(HIDDEN.split())
LINES = "address br caption dd dl dt figcaption figure footer form header hr main tbody td tfoot th thead tr"
PARTS = "article aside blockquote body details div fieldset h1 h2 h3 h4 h5 h6 li ol p pre section summary table ul"
PARAGRAPHS = frozenset(PARTS.split())
BLOCKS = PARAGRAPHS | frozenset(LINES.split())
HEADINGS = {f"h{level}": level for level in range(1, 7)}
CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
NO_DISPLAY = re.compile(r"(?:^|;)\s*display\s*:\s*none\b", re.IGNORECASE)
SPACES = re.compile(r"[ \t\n\r\f\xa0]+")


def parse_html(content: bytes, charset: str | None) -> Parsed:
    """Text between tags, without scripts, styles and menus; the title is `<title>`, else the first heading."""
    page = LexborHTMLParser(_characters(content, charset))
    writer = _Writer()
    if page.body is not None:
        _walk(page.body, writer)
    found = page.css_first("head > title")  # a picture has titles, too
    title = SPACES.sub(" ", found.text()).strip() if found is not None else ""
    first = next((heading.text for heading in writer.headings), None)
    return Parsed(writer.text(), title or first, writer.headings)


class _Writer:
    """Text as it grows; white space counts once, blocks begin on lines of their own."""

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self._parts: list[str] = []
        self._length, self._gap = 0, ""
        self._heading: tuple[int, int] | None = None
        self._as_written = 0  # how many `pre` it is in

    def words(self, text: str) -> None:
        """Text between tags."""
        if self._as_written:
            self._add(self._gap + text)
            self._gap = ""
            return
        words = SPACES.sub(" ", text)
        if not words.strip():
            self._gap = self._gap or (" " if words and self._parts else "")
            return
        if words[0] == " ":
            self._gap = self._gap or (" " if self._parts else "")
        self._add(self._gap + words.strip())
        self._gap = " " if words[-1] == " " else ""

    def line(self, name: str) -> None:
        """A block begins or ends."""
        if self._parts:
            self._gap = "\n\n" if name in PARAGRAPHS or self._gap == "\n\n" else "\n"

    def as_written(self, more: int) -> None:
        """White space counts from here on (1), or no more (-1)."""
        self._as_written += more

    def heading(self, level: int) -> None:
        """A heading begins after the gap."""
        self._heading = (self._length + len(self._gap), level)

    def end_heading(self) -> None:
        """It ends."""
        if self._heading is not None:
            start, level = self._heading
            words = self.text()[start:].strip()
            if words:
                self.headings.append(Heading(start, self._length, level, SPACES.sub(" ", words)))
        self._heading = None

    def text(self) -> str:
        """All of it."""
        self._parts = ["".join(self._parts)] if self._parts else []
        return self._parts[0] if self._parts else ""

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def _walk(root: LexborNode, writer: _Writer) -> None:
    """Depth first without recursion: pages nest fifty thousand deep."""
    node: LexborNode | None = root
    while node is not None:
        name = node.tag or ""
        entered = _is_seen(node)
        if name == "-text":
            writer.words(node.text(deep=True) or "")
        elif entered:
            _begin(name, writer)
        below = node.child if entered and name != "-text" else None
        if below is not None:
            node = below
            continue
        while node is not None:
            if _is_seen(node):
                _end(node.tag or "", writer)
            if node.mem_id == root.mem_id:
                return
            if node.next is not None:
                node = node.next
                break
            node = node.parent


def _is_seen(node: LexborNode) -> bool:
    if node.tag in UNSEEN:
        return False
    said = {} if node.tag == "-text" else node.attributes
    return not said or ("hidden" not in said and not NO_DISPLAY.search(said.get("style") or ""))


def _begin(name: str, writer: _Writer) -> None:
    if name in BLOCKS:
        writer.line(name)
    if name == "pre":
        writer.as_written(1)
    if name in HEADINGS:
        writer.heading(HEADINGS[name])


def _end(name: str, writer: _Writer) -> None:
    if name in HEADINGS:
        writer.end_heading()
    if name == "pre":
        writer.as_written(-1)
    if name in BLOCKS:
        writer.line(name)


def _characters(content: bytes, charset: str | None) -> str:
    """As browsers choose: mark, then what the sender says, then what the page says, then UTF-8, else windows-1252."""
    if charset or _wide(content) or any(content.startswith(mark) for mark, _ in MARKS):
        return decoded(content, charset)
    said = CHARSET.search(content[:2048])
    for name in ([said[1].decode("ascii")] if said else []) + ["utf-8", "windows-1252"]:
        try:
            return content.decode(name).replace("\0", "")
        except (UnicodeError, LookupError):
            continue
    return content.decode("latin-1").replace("\0", "")
