"""Stop sequences: what comes before the first one, however the text is cut."""

from collections.abc import Sequence
from itertools import combinations

import pytest

from infra.providers.stop_sequences import StopSequences


def through(sequences: Sequence[str], pieces: Sequence[str]) -> tuple[str, bool]:
    """All that is let through of these pieces, and whether a sequence was found."""
    stop = StopSequences(sequences)
    text = "".join(stop.feed(piece) for piece in pieces)
    return text + stop.rest(), stop.found


@pytest.mark.parametrize(
    ("sequences", "text", "before"),
    [
        (["END"], "so END of it", "so "),
        (["END"], "so ENEND", "so EN"),
        (["aab"], "aaab", "a"),
        (["\n\n", "Q:"], "a\nbQ: c\n\n", "a\nb"),
        (["abcd", "b"], "xabcd", "xa"),  # the one that is whole first
        (["bc", "abc"], "xabc", "x"),  # of two that end together the longer one
        (["世界"], "Hello 世世界", "Hello 世"),
        (["END"], "END", ""),
    ],
)
def test_the_text_before_a_sequence_is_the_same_however_it_is_cut(sequences: list[str], text: str, before: str) -> None:
    places = range(1, len(text))
    for cuts in (cuts for count in range(4) for cuts in combinations(places, count)):
        pieces = [text[begin:end] for begin, end in zip((0, *cuts), (*cuts, len(text)), strict=True)]
        assert through(sequences, pieces) == (before, True), pieces


@pytest.mark.parametrize("sequences", [[], [""], ["END"], ["never", "w"]])
def test_without_one_the_whole_text_comes(sequences: list[str]) -> None:
    assert through(sequences, ["so ", "it ", "EN", "ds E", "N"]) == ("so it ENds EN", False)


def test_text_is_held_back_only_as_long_as_it_may_be_the_beginning() -> None:
    stop = StopSequences(["END", "\n\n"])
    assert [stop.feed(piece) for piece in ("a E", "N", "d\n", "b", "EN", "D", "c")] == [
        "a ",
        "",
        "ENd",
        "\nb",
        "",
        "",
        "",
    ]
    assert stop.rest() == ""
