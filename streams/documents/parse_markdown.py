"""Markdown: the text as it was written, with its headings."""

import re

from streams.documents.parse_text import decoded
from streams.documents.parsed import Heading, Parsed

FRONT = re.compile(r"\A---\n(.*?\n)(?:---|\.\.\.)\n", re.DOTALL)
FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)
HASHES = re.compile(r" {0,3}(#{1,6})(?:[ \t](.*))?")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
MARKUP = re.compile(r"[*_`]|!?\[([^\]]*)\]\([^)]*\)")


def parse_markdown(content: bytes, charset: str | None) -> Parsed:
    """Headings with hashes or underlined; the title is the front matter's, else the first heading."""
    text = decoded(content, charset)
    front = FRONT.match(text)
    title = FRONT_TITLE.search(front[1]) if front else None
    headings = _headings(text, front.end() if front else 0)
    if front:  # no text for readers
        headings = [Heading(0, front.end(), 7, ""), *headings]
    first = next((heading.text for heading in headings if heading.text), None)
    return Parsed(text, (title[1] if title else first) or None, headings)


def _headings(text: str, start: int) -> list[Heading]:
    found: list[Heading] = []
    fence, before, at = "", "", start
    before_at = start
    for line in text[start:].splitlines(keepends=True):
        bare = line.rstrip("\n")
        if opened := FENCE.match(bare):
            mark = opened[1]
            fence = "" if fence and mark[0] == fence[0] and len(mark) >= len(fence) else fence or mark
            before = ""
        elif fence:
            before = ""
        elif hashes := HASHES.fullmatch(bare):
            found.append(Heading(at, at + len(bare), len(hashes[1]), _plain(_unclosed(hashes[2] or ""))))
            before = ""
        elif before.strip() and (under := UNDERLINE.fullmatch(bare)) and _could_be_heading(before):
            found.append(Heading(before_at, at + len(bare), 1 if under[1][0] == "=" else 2, _plain(before)))
            before = ""
        else:
            before, before_at = bare, at
        at += len(line)
    return [heading for heading in found if heading.text]


def _unclosed(words: str) -> str:
    """Without the hashes that may close a heading; no pattern, because one takes the square of a long line's time."""
    words = words.strip()
    bare = words.rstrip("#")
    return words if bare and not bare[-1].isspace() else bare


def _could_be_heading(line: str) -> bool:
    return not line.startswith(("    ", "\t", "|", "- ", "* ", "> "))


def _plain(words: str) -> str:
    return MARKUP.sub(lambda found: found[1] or "", words).strip()
