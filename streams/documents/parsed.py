"""What a parser makes of a document."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Heading:
    """A heading and its span [start, end) in the text (code points); level 1 is the outermost."""

    start: int
    end: int
    level: int
    text: str


@dataclass(frozen=True)
class Page:
    """A page, from 1, and where it begins in the text (code points)."""

    start: int
    number: int


@dataclass(frozen=True)
class Parsed:
    """A document's text, with the marks by which people find a place in it; both lists ascend by `start`."""

    text: str
    title: str | None = None
    headings: list[Heading] = field(default_factory=list)
    pages: list[Page] = field(default_factory=list)
