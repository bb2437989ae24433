"""What each parser makes of its format: text, title, headings and pages whose places are right."""

import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.documents import MEDIA_TYPES, Unfit
from streams.documents.parsed import Parsed
from streams.documents.parsers import (
    HEADING_CHARACTERS,
    HEADINGS,
    PARSERS,
    TITLE_CHARACTERS,
    check_length,
    parse_bytes,
)

DATA = Path(__file__).parents[2] / "data"
KINDS = {".md": "text/markdown", ".txt": "text/plain", ".html": "text/html", ".pdf": "application/pdf"}


def parsed(name: str) -> Parsed:
    return parse_bytes((DATA / name).read_bytes(), KINDS[Path(name).suffix])


def plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())


def spans(found: Parsed) -> list[str]:
    return [found.text[heading.start : heading.end] for heading in found.headings]


def refusal(content: bytes, kind: str) -> Unfit:
    with pytest.raises(Unfit) as caught:
        parse_bytes(content, kind)
    assert caught.value.stage == "parse"
    assert ":" in caught.value.reason  # the cause, and the cure
    return caught.value


def test_every_media_type_that_is_admitted_has_a_parser() -> None:
    assert set(PARSERS) == set(MEDIA_TYPES)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("utf16-with-mark.txt", "Doylestown, PA 18901"),
        ("utf16le.html", "This is a sample text"),
        ("script-and-injection.html", "Revenue rose to 417 crowns."),
        ("script-and-injection.html", "Costs fell & stayed low."),
        ("ibm.md", "the name was changed on February 14, 1924"),
        ("ibm.md", "SABRE reservation system for American Airlines"),
        ("hello-in-six-languages.pdf", "Привет, мир"),
        ("hello-in-six-languages.pdf", "你好世界"),
        ("hello-in-six-languages.pdf", "こんにちは世界"),
        ("bookmarks-2-pages.pdf", "This is a page about Denmark"),
    ],
)
def test_known_words_are_found(name: str, words: str) -> None:
    assert words in plain(parsed(name).text)


def test_scripts_and_what_nobody_sees_are_left_out() -> None:
    assert "script text must not be indexed" not in parsed("script-and-injection.html").text
    page = b"<title>T</title><style>s{}</style><p>seen<template>t</template><noscript>n</noscript><svg><text>v</svg>"
    assert parse_bytes(page, "text/html").text == "seen"


def test_pages_of_a_pdf_begin_where_their_words_begin() -> None:
    found = parsed("bookmarks-2-pages.pdf")
    first, second = found.pages
    assert (first.number, first.start, second.number) == (1, 0, 2)
    assert "France" in found.text[: second.start]
    assert found.text[second.start :].startswith("This is a page about Denmark")


def test_a_protected_a_broken_and_an_empty_pdf_are_told_apart() -> None:
    assert refusal((DATA / "password-openpassword.pdf").read_bytes(), "application/pdf").code == "encrypted"
    assert refusal((DATA / "broken-header-only.pdf").read_bytes(), "application/pdf").code == "broken"
    assert refusal(b"", "application/pdf").code == "broken"
    assert parsed("blank-page.pdf").text.strip() == ""  # `no-text`: the splitter says so of every format


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        ("Grüße".encode(), "text/plain", "Grüße"),
        (b"\xef\xbb\xbf" + "Grüße".encode(), "text/plain", "Grüße"),
        ("Grüße".encode("utf-16"), "text/plain", "Grüße"),
        ("Grüße".encode("utf-16-be"), "text/plain", "Grüße"),
        ("Grüße".encode("windows-1252"), "text/plain; charset=windows-1252", "Grüße"),
        ("Привет".encode("koi8-r"), "text/html; charset=koi8-r", "Привет"),
        ('<meta charset="koi8-r"><p>Привет'.encode("koi8-r"), "text/html", "Привет"),
        ("<p>Grüße".encode("windows-1252"), "text/html", "Grüße"),
        (b"a\r\nb\rc", "text/plain", "a\nb\nc"),
        (b"", "text/plain", ""),
        (b"", "text/html", ""),
    ],
)
def test_characters_are_those_that_the_bytes_mean(content: bytes, kind: str, text: str) -> None:
    assert parse_bytes(content, kind).text == text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\x00\xfe", "text/plain"),
        (b"words\0words", "text/markdown"),
        (b"words", "text/plain; charset=klingon"),
        (b"\xed\xa0\x80", "text/plain"),
        (b"\x00\xd8a\x00", "text/plain; charset=utf-16-le"),
    ],
)
def test_bytes_that_are_no_characters_are_refused(content: bytes, kind: str) -> None:
    assert refusal(content, kind).code == "not-text"


ENDLESS = "a" + " " * 200_000 + "b"


@pytest.mark.parametrize(
    ("line", "headings"),
    [("# Of C# ##", ["Of C#"]), ("## ##", []), ("#\tfive", ["five"]), ("#six", []), (f"# {ENDLESS}", [ENDLESS[:300]])],
)
def test_what_closes_a_heading_is_no_part_of_it(line: str, headings: list[str]) -> None:
    found = parse_bytes(f"{line}\nwords\n".encode(), "text/markdown")
    assert [heading.text for heading in found.headings] == headings


def test_headings_of_markdown_stand_where_they_are_written_and_not_in_fences() -> None:
    text = "---\ntitle: Front\n---\n# One #\nwords\n```\n# no heading\n```\nTwo **bold**\n---\n#no\n### [Three](x)\n"
    found = parse_bytes(text.encode(), "text/markdown")
    assert found.text == text
    assert found.title == "Front"
    named = [(heading.level, heading.text) for heading in found.headings if heading.text]
    assert named == [(1, "One"), (2, "Two bold"), (3, "Three")]
    assert spans(found)[1:] == ["# One #", "Two **bold**\n---", "### [Three](x)"]


def test_code_keeps_its_lines_and_what_is_hidden_stays_so() -> None:
    page = (
        "<p>Before<pre>if x:\n    <b>go</b>()\n</pre><p hidden>h<p style='color:red; DISPLAY : none'>n"
        "<svg><title>Close icon</title></svg><h1>Real</h1>after"
    )
    found = parse_bytes(page.encode(), "text/html")
    assert "\nif x:\n    go()\n" in found.text
    assert plain(found.text) == "Before if x: go() Real after"
    assert found.title == "Real"


def test_headings_of_html_stand_where_their_words_are() -> None:
    page = (
        "<h1>One <b>bold</b></h1><p>words</p><div><h3>Three</h3>more<nav>menu</nav><table><tr><td>a<td>b</table></div>"
    )
    found = parse_bytes(page.encode(), "text/html")
    assert [(heading.level, heading.text) for heading in found.headings] == [(1, "One bold"), (3, "Three")]
    assert spans(found) == ["One bold", "Three"]
    assert found.title == "One bold"
    assert "a b" in plain(found.text)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (f"---\ntitle: {'a long title ' * 99}\n---\n# {'a long heading ' * 99}\nwords\n", "text/markdown"),
        (f"# {'a long heading ' * 99}\nwords\n", "text/markdown"),
        (f"<title>{'a long title ' * 99}</title><h1>{'a long heading ' * 99}</h1>words", "text/html"),
    ],
)
def test_titles_and_headings_are_cut_because_they_stand_beside_every_passage(content: str, kind: str) -> None:
    found = parse_bytes(content.encode(), kind)
    assert found.title is not None
    assert found.title.startswith("a long")
    assert 200 < len(found.title) <= TITLE_CHARACTERS
    assert {len(heading.text) for heading in found.headings} <= {0, HEADING_CHARACTERS}
    assert "a long heading " * 98 in found.text, "the words themselves stay"


def test_more_headings_than_anybody_reads_are_too_many() -> None:
    parsed = parse_bytes(b"# a\n" * (HEADINGS + 1), "text/markdown")
    with pytest.raises(Unfit, match="headings"):
        check_length(parsed, 10**9)


def test_menus_are_no_words_of_a_page() -> None:
    assert parse_bytes(b"<nav>menu</nav><p>words", "text/html").text == "words"


def test_ten_thousand_nested_elements_are_read_to_the_bottom() -> None:
    page = b"<div>" * 10_000 + b"needle" + b"</div>" * 10_000
    assert parse_bytes(page, "text/html").text == "needle"


@given(
    st.text(st.sampled_from("# =-\n\t`~*[]()abc\u2028\x0b\x0c\x85é—")), st.sampled_from(["text/markdown", "text/html"])
)
def test_marks_ascend_and_lie_within_the_text(text: str, kind: str) -> None:
    written = text.replace("#", "<h2>").replace("=", "</h2>").replace("-", "<p>") if kind == "text/html" else text
    found = parse_bytes(written.encode(), kind)
    places = [(heading.start, heading.end) for heading in found.headings]
    assert places == sorted(places)
    assert all(0 <= start <= end <= len(found.text) for start, end in places)
    assert all(before[1] <= after[0] for before, after in pairwise(places))
    if kind == "text/markdown":
        assert found.text == text
