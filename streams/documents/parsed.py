"""What a parser makes of a document, and the one way it says that it cannot."""

from dataclasses import dataclass, field

from schemas.errors import Invalid


class Unfit(Invalid):
    """A document that will never be indexed as it is; `code` is stable, `reason` names cause and cure."""

    def __init__(self, stage: str, code: str, reason: str) -> None:
        super().__init__(reason)
        self.stage, self.code, self.reason = stage, code, reason


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
