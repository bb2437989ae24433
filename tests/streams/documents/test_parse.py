"""Parsers: known facts in real files, and files made to break them."""

import re
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.documents import MEDIA_TYPES, Unfit
from infra.settings import Limits, Settings
from streams.documents.parse import Parser
from streams.documents.parsed import Parsed
from streams.documents.parsers import PARSERS, parse_bytes
from tests.servers import Servers

DATA = Path("tests/data")
KINDS = {".md": "text/markdown", ".txt": "text/plain", ".html": "text/html", ".pdf": "application/pdf"}
FACTS = [
    ("bookmarks-2-pages.pdf", 1, "This is a page about France"),
    ("bookmarks-2-pages.pdf", 2, "This is a page about Denmark"),
    ("hello-in-six-languages.pdf", 1, "Привет, мир"),
    ("hello-in-six-languages.pdf", 1, "こんにちは世界"),
    ("ibm.md", None, "SABRE reservation system for American Airlines"),
    ("utf16-with-mark.txt", None, "Doylestown, PA 18901"),
    ("utf16le.html", None, "This is a sample text"),
    ("script-and-injection.html", None, "Costs fell & stayed low."),
]


def _parse(name: str) -> Parsed:
    return parse_bytes((DATA / name).read_bytes(), KINDS[Path(name).suffix])


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text))


@pytest.mark.parametrize(("name", "page", "words"), FACTS)
def test_a_known_fact_is_found_on_its_page(name: str, page: int | None, words: str) -> None:
    parsed = _parse(name)
    starts = [*(found.start for found in parsed.pages), len(parsed.text)]
    text = parsed.text if page is None else parsed.text[starts[page - 1] : starts[page]]
    assert words in _plain(text)


def test_scripts_and_styles_are_no_text() -> None:
    assert "script text must not be indexed" not in _parse("script-and-injection.html").text


def test_the_headings_of_a_page_of_html_are_found_where_they_stand() -> None:
    page = b"<title>Otters</title><body><h1>Otters</h1><p>They <b>swim</b>.</p>"
    page += b"<h2>Food &amp; drink</h2><ul><li>Crabs<li>Fish"
    parsed = parse_bytes(page, "text/html")
    assert parsed.title == "Otters"
    assert [(heading.level, heading.text) for heading in parsed.headings] == [(1, "Otters"), (2, "Food & drink")]
    assert [parsed.text[heading.start : heading.end] for heading in parsed.headings] == ["Otters", "Food & drink"]
    assert parsed.text.split("\n\n") == ["Otters", "They swim.", "Food & drink", "Crabs", "Fish"]


def test_markdown_knows_headings_of_both_kinds_and_none_inside_fences() -> None:
    text = b"---\ntitle: From the front\n---\n# One #\n\n```\n# no heading\n```\n\nTwo\n---\n\n> quote\n---\n"
    parsed = parse_bytes(text, "text/markdown")
    assert parsed.title == "From the front"
    assert [(heading.level, heading.text) for heading in parsed.headings if heading.text] == [(1, "One"), (2, "Two")]


@pytest.mark.parametrize(
    ("name", "code"), [("broken-header-only.pdf", "broken"), ("password-openpassword.pdf", "encrypted")]
)
def test_a_file_that_cannot_be_read_says_why_and_what_helps(name: str, code: str) -> None:
    with pytest.raises(Unfit) as refused:
        _parse(name)
    assert (refused.value.stage, refused.value.code) == ("parse", code)
    assert ": " in refused.value.reason or "without one" in refused.value.reason


@pytest.mark.parametrize(
    ("content", "media_type", "text"),
    [
        (b"caf\xe9", "text/plain; charset=latin-1", "café"),
        ("\ufeffcafé\r\nau lait".encode(), "text/plain", "café\nau lait"),
        ("wide".encode("utf-16-le"), "text/plain", "wide"),
    ],
)
def test_text_is_read_in_the_charset_that_is_said_or_seen(content: bytes, media_type: str, text: str) -> None:
    assert parse_bytes(content, media_type).text == text


@pytest.mark.parametrize("content", [b"caf\xe9", b"zero\0byte", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_bytes_that_are_no_text_are_refused(content: bytes) -> None:
    with pytest.raises(Unfit) as refused:
        parse_bytes(content, "text/plain")
    assert refused.value.code == "not-text"


def test_every_media_type_that_is_admitted_has_a_parser() -> None:
    assert set(MEDIA_TYPES) == set(PARSERS)


@pytest.fixture(scope="module")
def plain(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a folder of their own."""
    return servers.settings.model_copy(update={"data": tmp_path_factory.mktemp("data")})


@pytest_asyncio.fixture(loop_scope="session")
async def parser(plain: Settings) -> AsyncIterator[Parser]:
    """One with tight limits."""
    limits = Limits(parse_seconds=1, parse_memory_bytes=300 * 1024 * 1024)
    async with Parser.open(plain.model_copy(update={"limits": limits})) as found:
        yield found


async def test_a_document_that_is_never_done_is_given_up_and_the_next_one_is_parsed(parser: Parser) -> None:
    nested = b"<div>" * 120_000 + b"needle"
    with pytest.raises(Unfit) as refused:
        await parser.parse(nested, "text/html", "0" * 64)
    assert refused.value.code == "too-slow"
    assert (await parser.parse(b"next", "text/plain", "1" * 64)).text == "next"


async def test_a_document_that_swells_is_given_up_and_the_next_one_is_parsed(parser: Parser) -> None:
    swelling = b"<p>a</p>" * 4_000_000
    with pytest.raises(Unfit) as refused:
        await parser.parse(swelling, "text/html", "2" * 64)
    assert refused.value.code in ("too-large", "broken", "too-slow")
    assert (await parser.parse(b"next", "text/plain", "3" * 64)).text == "next"


async def test_more_characters_than_allowed_are_refused(plain: Settings) -> None:
    limits = Limits(document_characters=10)
    async with Parser.open(plain.model_copy(update={"limits": limits})) as found:
        with pytest.raises(Unfit) as refused:
            await found.parse(b"eleven chars", "text/plain", "4" * 64)
    assert refused.value.code == "too-large"


async def test_what_took_long_is_kept_by_hash_and_version(plain: Settings) -> None:
    content = b"<div>" * 9_000 + b"needle"
    async with Parser.open(plain) as found:
        first = await found.parse(content, "text/html", "5" * 64)
        kept = list(plain.folder("parsed").rglob("5555*"))
        assert len(kept) == 1
        assert await found.parse(b"other bytes, the same name", "text/html", "5" * 64) == first
