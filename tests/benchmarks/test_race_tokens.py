"""The race's checker of texts catches what it must: a check that finds nothing wrong says nothing by itself."""

import pytest

from benchmarks.http import Stream
from benchmarks.race.subject import Chunks
from benchmarks.race.tokens import Faults, Schedule, faults

WHOLE = "t1 t2 t3 t4"


def test_a_whole_text_has_no_faults() -> None:
    assert faults(WHOLE, 4) == Faults()
    assert not faults(Schedule(count=64).text, 64)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", Faults(lost=4)),
        ("t1 t2 t3", Faults(lost=1)),
        ("t2 t3 t4", Faults(lost=1)),
        ("t1 t2 t2 t3 t4", Faults(doubled=1)),
        ("t1 t2 t3 t4 t1 t2", Faults(doubled=2)),
        ("t1 t3 t2 t4", Faults(mixed_up=1)),
        ("t4 t1 t2 t3", Faults(mixed_up=3)),
        ("t1 t2t3 t4", Faults(lost=2, strange=1)),
        ("t1 t2 t3 t4 t5", Faults(strange=1)),
        ("t1 t2 t3 t4 ", Faults(strange=1)),
        ("t1 t02 t3 t4", Faults(lost=1, strange=1)),
        ("something else", Faults(lost=4, strange=2)),
    ],
)
def test_loss_doubling_disorder_and_strange_words_are_told_apart(text: str, found: Faults) -> None:
    assert faults(text, 4) == found
    assert faults(text, 4)


def test_faults_add_up() -> None:
    assert Faults(lost=1) + Faults(lost=2, strange=3) == Faults(lost=3, strange=3)


def test_a_question_says_its_schedule() -> None:
    asked = Schedule(count=3, first_ms=7, apart_ms=2, name="x1")
    assert Schedule.parsed(f"Before. {asked.question}") == asked
    assert Schedule.parsed("How are you?").count == 1


def test_chunks_are_read_however_they_are_cut() -> None:
    said = b'data: {"id":"a","choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    said += b'data: {"id":"a","choices":[{"delta":{"content":"t1"}}]}\n\n: ping\n\n'
    said += (
        b'data: {"id":"a","choices":[]}\n\ndata: {"id":"a","choices":[{"delta":{"content":" t2"}}]}\n\ndata: [DONE]\n\n'
    )
    for size in (1, 7, len(said)):
        chunks = Chunks(Stream())
        for start in range(0, len(said), size):
            chunks(said[start : start + size])
        assert (chunks.text, chunks.id, len(chunks.stream.texts)) == ("t1 t2", "a", 2)
