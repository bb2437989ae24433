"""Whatever is written is read back the same, and no bytes do more to a reader than Undecodable."""

import asyncio
import tracemalloc
import uuid
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass, replace
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.all import EVENTS
from schemas.answers import AnswerExtended
from schemas.codec import FRAME, Codec, Encoded, plain
from schemas.documents import DocumentPublished, DocumentRetracted
from schemas.errors import Undecodable
from schemas.event import Event, now_ms, uuid7
from schemas.turns import TurnRequested
from schemas.versions import Json, latest
from tests.examples import bytes_of, example, versions
from tests.schemas.registered import Registered

EVERY = tuple(EVENTS.values())
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=40),
    bytes: st.binary(max_size=40),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
    NoneType: st.none(),
}
relaxed = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value that a field's type allows."""
    if hint in PLAIN:
        return PLAIN[hint]
    if get_origin(hint) is list:
        return st.lists(values(get_args(hint)[0]), max_size=3)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint)
        return st.builds(hint, **{f.name: values(hints[f.name]) for f in fields(hint)})
    return st.one_of(*(values(branch) for branch in get_args(hint)))


def decode(value: bytes | None, headers: dict[str, bytes | None], schema: Json = None) -> Event:
    registry = Registered({1: schema} if schema else {})
    return asyncio.run(Codec(registry).decode("any", EVERY, value, headers))


@relaxed
@given(st.sampled_from(EVERY).flatmap(values))
def test_what_is_encoded_decodes_to_an_equal_event(event: Event) -> None:
    encoded = Codec(Registered()).encode("any", event)
    assert decode(encoded.value, dict(encoded.headers)) == event


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_a_record_says_its_type_and_the_hash_of_its_schema(kind: type[Event]) -> None:
    encoded = Codec(Registered()).encode("any", example(kind))
    assert dict(encoded.headers) == {
        "type": kind.__name__.encode(),
        "schema-sha256": latest(kind.__name__).sha256.encode(),
    }
    assert encoded.value[:5] == b"\0\0\0\0\1"


@relaxed
@given(st.sampled_from(versions()), st.binary(max_size=400))
def test_random_bytes_are_undecodable_or_an_event(version: Any, body: bytes) -> None:
    only_undecodable(FRAME.pack(0, 1) + body, {"schema-sha256": version.sha256.encode()})


@relaxed
@given(st.sampled_from(versions()), st.data())
def test_a_broken_record_is_undecodable_or_an_event(version: Any, data: st.DataObject) -> None:
    whole = bytearray(FRAME.pack(0, 1) + bytes_of(version))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    only_undecodable(
        bytes(whole[:cut] if data.draw(st.booleans()) else whole), {"schema-sha256": version.sha256.encode()}
    )


def only_undecodable(value: bytes, headers: dict[str, bytes | None], schema: Json = None) -> None:
    """Nothing else is raised, and no small record takes much memory."""
    tracemalloc.start()
    with suppress(Undecodable):
        decode(value, headers, schema)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 * 1024 * 1024


HUGE = b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # 2^63 - 1
LEAST = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"  # -2^63


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "without a value"),
        (b"", "without a value"),
        (b"\0\0\0", "wire format"),
        (b'{"text": "JSON"}', "wire format"),
        (FRAME.pack(0, 1), "not a AnswerExtended"),
        (FRAME.pack(0, 1) + HUGE, "not a AnswerExtended"),
        (FRAME.pack(0, 1) + LEAST, "not a AnswerExtended"),
        (FRAME.pack(0, 1) + b"\xff" * 2_000_000, "not a AnswerExtended"),
        (FRAME.pack(0, 1) + b"\x04\xff\xfe", "not a AnswerExtended"),
        (FRAME.pack(0, 1) + bytes_of(latest("AnswerExtended")) + b"more", "4 bytes too many"),
    ],
)
def test_hostile_bytes_are_undecodable_with_a_reason(value: bytes | None, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        decode(value, {"schema-sha256": latest("AnswerExtended").sha256.encode()})


@pytest.mark.parametrize(
    "headers", [{}, {"schema-sha256": None}, {"schema-sha256": b"\xff\xfe"}, {"type": b"nonsense"}]
)
def test_headers_that_say_nothing_leave_the_word_to_the_registry(headers: dict[str, bytes | None]) -> None:
    schema = latest("DocumentRetracted").schema
    value = FRAME.pack(0, 1) + bytes_of(latest("DocumentRetracted"))
    assert decode(value, headers, schema) == example(DocumentRetracted)
    with pytest.raises(Undecodable, match="no schema with id 1"):
        decode(value, headers)


async def test_an_event_of_another_topic_does_not_belong() -> None:
    codec = Codec(Registered())
    encoded: Encoded = codec.encode("turns", example(TurnRequested))
    with pytest.raises(Undecodable, match="TurnRequested does not belong on documents"):
        await codec.decode("documents", (DocumentPublished,), encoded.value, dict(encoded.headers))


@pytest.mark.parametrize("wrong", [{"seq": "one"}, {"seq": 2**63}, {"text": None}, {"text": "\ud800"}])
def test_a_field_that_does_not_fit_is_refused_when_written(wrong: dict[str, Any]) -> None:
    event = replace(example(AnswerExtended), **wrong)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        Codec(Registered()).encode("any", event)


def test_a_uuid7_has_its_version_its_variant_and_the_millisecond_it_was_made_in() -> None:
    before = now_ms()
    made = [uuid.UUID(uuid7()) for _ in range(1000)]
    assert {(each.version, each.variant) for each in made} == {(7, uuid.RFC_4122)}
    assert all(before <= each.int >> 80 <= now_ms() for each in made)
    assert len(set(made)) == len(made)
    assert {str(each)[19] for each in made} == set("89ab")


@relaxed
@given(st.sampled_from(EVERY).flatmap(values))
def test_plain_is_dicts_and_lists_all_the_way_down_and_leaves_the_event_as_it_was(event: Event) -> None:
    before = repr(event)
    assert plain(event) == asdict(event)
    assert repr(event) == before
