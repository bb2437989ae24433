"""Passages: sized by the embedder's tokens, each with the place it came from."""

from array import array

import pytest

from infra.documents import Unfit
from infra.settings import Settings
from infra.triton.tokens import PASSAGE_TOKENS, TOKEN_CHARACTERS, Tokens
from streams.documents.parse_markdown import parse_markdown
from streams.documents.parsed import Page, Parsed
from streams.documents.split import MAX_PASSAGES, PIECE_CHARACTERS, Splitter, _cut
from tests.servers import Servers

SENTENCE = "The ferryman counted seventeen lanterns along the northern quay before the fog came in. "


@pytest.fixture(scope="module")
def plain(servers: Servers) -> Settings:
    """Settings; no installation is needed."""
    return servers.settings


@pytest.fixture(scope="module")
def splitter(plain: Settings) -> Splitter:
    """With the embedder's tokenizer."""
    return Splitter.read(plain.embedder_tokenizer)


def test_no_passage_is_longer_than_the_embedder_reads_its_title_and_headings_included(
    splitter: Splitter, plain: Settings
) -> None:
    text = "# The quay at night\n\n" + SENTENCE * 80 + "x" * 5000 + " 漢字かな交じり文 " * 300
    parsed = parse_markdown(text.encode(), None)
    passages = splitter.split(parsed, "A title of some length " * 30)
    tokens = Tokens.read(plain.embedder_tokenizer)
    assert max(tokens.count(passage.embedded) for passage in passages) <= 254
    assert len(passages) > 5


def test_spans_are_code_points_of_the_text_and_nothing_is_lost(splitter: Splitter) -> None:
    text = "😀 " + "Wörter und Sätze über Äpfel. " * 120 + "\n\nEnde."
    passages = splitter.split(Parsed(text), None)
    assert all(text[passage.start : passage.end] == passage.text for passage in passages)
    assert [passage.number for passage in passages] == list(range(len(passages)))
    covered = "".join(passage.text for passage in passages)
    assert "".join(covered.split()) == "".join(text.split())


def test_a_long_text_is_tokenised_in_pieces_and_cut_in_the_same_places(splitter: Splitter, plain: Settings) -> None:
    class Noting(Tokens):
        def spans(self, text: str) -> list[tuple[int, int]]:
            sizes.append(len(text))
            return super().spans(text)

    sizes: list[int] = []
    text = "".join(f"Line {n} of many lines: {SENTENCE}" + "\n" * (n % 3 == 0) for n in range(5000))
    whole = Tokens.read(plain.embedder_tokenizer).spans(text)
    tokens = Noting.read(plain.embedder_tokenizer)
    passages = Splitter(tokens).split(Parsed(text), None)
    assert len(text) > 5 * PIECE_CHARACTERS
    assert max(sizes) <= PIECE_CHARACTERS
    in_pieces = list(_cut(text, 0, len(text), array("I", (end for _, end in whole)), PASSAGE_TOKENS))
    assert [(passage.start, passage.end) for passage in passages] == in_pieces


def test_a_text_without_any_space_is_tokenised_in_pieces_too(splitter: Splitter) -> None:
    text = "漢" * (3 * PIECE_CHARACTERS + 1)
    assert "".join(passage.text for passage in splitter.split(Parsed(text), None)) == text


def test_an_endless_word_and_endless_white_space_make_no_endless_passage(splitter: Splitter) -> None:
    text = "alpha" + " " * 200_000 + "omega " + "q" * 200_000 + "\n" * 100_000 + "end"
    passages = splitter.split(Parsed(text), None)
    assert max(len(passage.text) for passage in passages) <= PASSAGE_TOKENS * TOKEN_CHARACTERS
    assert min(len(passage.text) for passage in passages) > 0
    assert "".join("".join(passage.text for passage in passages).split()) == "".join(text.split())


def test_too_many_passages_are_noticed_before_the_whole_text_is_tokenised(splitter: Splitter, plain: Settings) -> None:
    class Noting(Tokens):
        def spans(self, text: str) -> list[tuple[int, int]]:
            sizes.append(len(text))
            return [(at, at + 1) for at in range(len(text))]

    sizes: list[int] = []
    noting = Noting.read(plain.embedder_tokenizer)
    with pytest.raises(Unfit) as refused:
        Splitter(noting).split(Parsed("a" * (3 * PASSAGE_TOKENS * MAX_PASSAGES)), None)
    assert (refused.value.stage, refused.value.code) == ("split", "too-large")
    assert sum(sizes) <= PASSAGE_TOKENS * MAX_PASSAGES + PIECE_CHARACTERS


def test_passages_end_where_sentences_do_and_are_of_about_one_size(splitter: Splitter) -> None:
    passages = splitter.split(Parsed(SENTENCE * 40), None)
    assert all(passage.text.endswith("in.") for passage in passages)
    sizes = [len(passage.text) for passage in passages]
    assert max(sizes) < 1.5 * min(sizes)


def test_a_passage_knows_the_headings_above_it(splitter: Splitter) -> None:
    text = "# Boats\n\nOf wood.\n\n## Sails\n\nOf linen.\n\n### Ropes\n\nOf hemp.\n\n## Oars\n\nOf ash.\n"
    passages = splitter.split(parse_markdown(text.encode(), None), "Boats")
    assert {passage.text: passage.heading for passage in passages} == {
        "Of wood.": ["Boats"],
        "Of linen.": ["Boats", "Sails"],
        "Of hemp.": ["Boats", "Sails", "Ropes"],
        "Of ash.": ["Boats", "Oars"],
    }
    assert passages[2].embedded == "Boats\nSails > Ropes\nOf hemp.", "the title once"


def test_headings_alone_are_text_too(splitter: Splitter) -> None:
    passages = splitter.split(parse_markdown(b"# Only\n\n# Headings\n", None), None)
    assert [passage.text for passage in passages] == ["# Only", "# Headings"]


def test_a_passage_knows_the_page_it_begins_on(splitter: Splitter) -> None:
    first, second = SENTENCE * 30, SENTENCE * 30
    parsed = Parsed(f"{first}\n\n{second}", pages=[Page(0, 1), Page(len(first) + 2, 2)])
    passages = splitter.split(parsed, None)
    assert {passage.page for passage in passages} == {1, 2}
    assert all((passage.start >= len(first) + 2) == (passage.page == 2) for passage in passages)


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_a_document_without_text_is_refused_with_a_cure(splitter: Splitter, text: str) -> None:
    with pytest.raises(Unfit) as refused:
        splitter.split(Parsed(text), "A scan")
    assert (refused.value.stage, refused.value.code) == ("split", "no-text")
