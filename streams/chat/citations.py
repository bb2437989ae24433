"""Markers [n] in an answer while it streams: those that name no shown passage never get out."""

import re
from dataclasses import dataclass

from schemas.answers import Citation

_MARKER = re.compile(r" ?\[([0-9]{1,3}(?: ?, ?[0-9]{1,3}){0,7})\]")
_MAY_BECOME_ONE = re.compile(r" ?\[[0-9, ]{0,45}\Z| \Z")
_OPEN = re.compile(r"\[[0-9, ]{0,45}\Z")
_LONGEST = 48
_GAP = "  "  # no marker has two spaces in a row


@dataclass(frozen=True, kw_only=True)
class Cited:
    """Text that may be sent, and the citations in it; their positions count from the answer's begin."""

    text: str
    citations: tuple[Citation, ...] = ()


class Citations:
    """Fed with the pieces of one answer, however they are cut, it gives the same text and citations."""

    def __init__(self, shown: int) -> None:
        """`shown`: passages 1 to n were shown."""
        self._shown = shown
        self._held = ""
        self._position = 0
        self._last = ""  # the end of what was sent

    def feed(self, piece: str) -> Cited:
        """What may be sent now; what may become a marker, and a space before one, is held."""
        text = self._held + piece
        found = _MAY_BECOME_ONE.search(text)
        until = found.start() if found else len(text)
        self._held = text[until:]
        return self._cite(text[:until])

    def end(self) -> Cited:
        """What was still held."""
        text, self._held = self._held, ""
        return self._cite(text)

    def _cite(self, text: str) -> Cited:
        parts: list[str] = []
        citations: list[Citation] = []
        done = 0
        for marker in _MARKER.finditer(text):
            self._append(parts, text[done : marker.start()])
            done = marker.end()
            numbers = [int(number) for number in marker[1].split(",")]
            if kept := [number for number in numbers if 1 <= number <= self._shown]:
                space = marker[0][: marker[0].index("[")]
                self._append(parts, space)
                citations += [Citation(number=number, position=self._position) for number in kept]
                self._append(parts, f"[{', '.join(map(str, kept))}]" if kept != numbers else marker[0].lstrip(" "))
            elif _OPEN.search(self._last):
                self._append(parts, _GAP)  # in "[[9]7]": without the inner marker the rest would become one
        self._append(parts, text[done:])
        return Cited(text="".join(parts), citations=tuple(citations))

    def _append(self, parts: list[str], text: str) -> None:
        parts.append(text)
        self._position += len(text)
        self._last = (self._last + text)[-_LONGEST:]
