"""Server-sent events, wherever the network cuts them."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.client.test_stream import whole_stream
from turnlog.sse import Parser, ServerEvent

BODY = b"".join(whole_stream())


@given(st.lists(st.integers(0, len(BODY)), max_size=30))
def test_events_are_the_same_wherever_a_chunk_ends(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(BODY)]
    chunks = [BODY[start:end] for start, end in pairwise(places)]
    parser = Parser()
    assert [event for chunk in chunks for event in parser.take(chunk)] == Parser().take(BODY)


@given(st.integers(0, len(BODY)))
def test_an_event_that_was_cut_off_is_not_told(cut: int) -> None:
    found = Parser().take(BODY[:cut])
    assert found == Parser().take(BODY)[: len(found)]


def test_fields_are_read_as_the_standard_says() -> None:
    body = b'event:a\ndata:{"b":\ndata: 1}\nretry: 5\n\n: only a comment\n\nid: 7\n\ndata: {}\n\n'
    assert Parser("6").take(body) == [ServerEvent("a", {"b": 1}, "6"), ServerEvent("message", {}, "7")]
