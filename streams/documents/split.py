"""Cuts a parsed document into passages that fit the embedder, each with page, character span and heading path."""

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from infra.documents import Unfit
from infra.triton.tokens import PASSAGE_TOKENS, TOKEN_CHARACTERS, Tokens
from streams.documents.parsed import Heading, Parsed

CONTEXT_TOKENS = 48  # of title and headings before the text, so that a passage says what it is about
CONTEXT_CHARACTERS = 1000  # more of them is not looked at
MAX_PASSAGES = 20_000
PIECE_CHARACTERS = 100_000  # the tokenizer needs 170 bytes of memory for each character that it is given at once
ENDS = (re.compile(r"\n\s*\n"), re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n"), re.compile(r"\s+"))


@dataclass(frozen=True)
class Passage:
    """A span [start, end) of a document's text in code points, and the text that is embedded for it."""

    number: int
    text: str
    start: int
    end: int
    page: int | None
    heading: list[str]
    embedded: str


class Splitter:
    """Cuts by the embedder's tokens; reading its tokenizer takes 20 ms, so a worker does it once."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    @classmethod
    def read(cls, tokenizer: Path) -> "Splitter":
        """With a tokenizer.json; raises Invalid when it is missing."""
        return cls(Tokens.read(tokenizer))

    def split(self, parsed: Parsed, title: str | None) -> list[Passage]:
        """Passages in reading order; raises Unfit when there is no text, or far too much."""
        made: list[Passage] = []
        for start, end, path in _sections(parsed):
            context = self._shortened(
                "\n".join(part for part in (title, " > ".join(h for h in path if h != title)) if part)
            )
            budget = PASSAGE_TOKENS - (self._tokens.count(context) if context else 0)
            ends = self._ends(parsed.text, start, end, budget * (MAX_PASSAGES - len(made)))
            for first, last in _cut(parsed.text, start, end, ends, budget):
                if len(made) == MAX_PASSAGES:
                    raise _too_large()
                text = parsed.text[first:last]
                embedded = f"{context}\n{text}" if context else text
                made.append(Passage(len(made), text, first, last, _page(parsed, first), path, embedded))
        if not made:
            raise Unfit("split", "no-text", "there is no text in it: a scan needs its text recognised before")
        return made

    def _shortened(self, text: str) -> str:
        if len(text) <= CONTEXT_TOKENS:  # no token is shorter than a character
            return text
        text = text[:CONTEXT_CHARACTERS]
        offsets = self._tokens.spans(text)
        return text if len(offsets) <= CONTEXT_TOKENS else text[: offsets[CONTEXT_TOKENS - 1][1]]

    def _ends(self, text: str, start: int, end: int, most: int) -> "array[int]":
        """Where each token of a section ends; raises Unfit as soon as there are more than `most`."""
        ends, before = array("I"), start
        for first, last in _pieces(text, start, end):
            for _, at in self._tokens.spans(text[first:last]):
                ends.extend(range(before + TOKEN_CHARACTERS, first + at, TOKEN_CHARACTERS))
                before = first + at
                ends.append(before)
            if len(ends) > most:
                raise _too_large()
        return ends


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of a section that are tokenised one by one; cut at white space, they have the tokens of the whole."""
    while end - start > PIECE_CHARACTERS:
        full = start + PIECE_CHARACTERS
        cut = text.rfind("\n", start, full) + 1 or text.rfind(" ", start, full) + 1 or full
        yield start, cut
        start = cut
    yield start, end


def _cut(text: str, start: int, end: int, ends: "array[int]", budget: int) -> Iterator[tuple[int, int]]:
    """Spans of about equal size, each at most `budget` tokens, ending at the best place near its size."""
    done = 0
    while done < len(ends):
        first = _skip_space(text, ends[done - 1] if done else start)
        done = bisect_right(ends, first)
        left = len(ends) - done
        parts = -(-left // budget)
        if parts == 1:
            last, done = end, len(ends)
        else:
            least, most = ends[done + left // (parts * 2)], ends[done + budget - 1]
            last = _best_end(text, least, ends[done + -(-left // parts) - 1], most)
            done = bisect_right(ends, last)
        yield first, first + len(text[first:last].rstrip())


def _too_large() -> Unfit:
    return Unfit("split", "too-large", f"more than {MAX_PASSAGES} passages: publish it in parts")


def _sections(parsed: Parsed) -> Iterator[tuple[int, int, list[str]]]:
    """Spans between headings that hold text, with the headings above them, outermost first."""
    marks = [Heading(0, 0, 0, ""), *parsed.headings]
    above: list[Heading] = []
    for mark, following in pairwise([*marks, Heading(len(parsed.text), len(parsed.text), 0, "")]):
        above = [*(heading for heading in above if heading.level < mark.level), mark]
        path = [heading.text for heading in above if heading.text]
        if parsed.text[mark.end : following.start].strip():
            yield mark.end, following.start, path
        elif mark.text and following.level <= mark.level:  # a heading with nothing below it is text, too
            yield mark.start, mark.end, path


def _skip_space(text: str, start: int) -> int:
    while start < len(text) and text[start].isspace():
        start += 1
    return start


def _best_end(text: str, least: int, wanted: int, most: int) -> int:
    """The end of a paragraph, else of a sentence, else of a word in [least, most], nearest to `wanted`; else `most`."""
    for end in ENDS:
        found = [m.end() for m in end.finditer(text, least, most) if m.end() > least]
        if found:
            return min(found, key=lambda place: abs(place - wanted))
    return most


def _page(parsed: Parsed, start: int) -> int | None:
    at = bisect_right(parsed.pages, start, key=lambda page: page.start)
    return parsed.pages[at - 1].number if at else None
