"""Made-up histories of every topic that is folded, and all the ways in which they may arrive."""

import dataclasses
import types
import typing
import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from hypothesis import strategies as st

from infra.access import record_key
from infra.kafka.records import Received
from schemas.event import Content, Event
from topics.catalogue import ACCESS_CHANGES, Topic, document_key

Log = dict[tuple[str, int], list[Received[Event]]]
IDS = [f"0192f000-0000-7000-8000-00000000000{n}" for n in range(4)]
CONVERSATION = {IDS[0]: IDS[0], IDS[1]: IDS[0], IDS[2]: IDS[1], IDS[3]: IDS[1]}
OWNER = {IDS[0]: "ann", IDS[1]: "bob"}
USERS = ["ann", "bob", "cyd"]
PRINCIPALS = ["public", "user:ann", "user:bob", "group:g", "group:h"]
MOMENT = st.integers(1_700_000_000_000, 1_700_000_001_000)
WORDS = st.sampled_from(["", "a", "words", "ä\u2028"])
BY_NAME: dict[str, st.SearchStrategy[Any]] = {
    "event_id": st.uuids(version=4).map(str),
    "turn_id": st.sampled_from(IDS),
    "parent_turn_id": st.none() | st.sampled_from(IDS),
    "conversation_id": st.sampled_from(IDS[:2]),
    "user_id": st.sampled_from(USERS),
    "owner": st.sampled_from(USERS),
    "group": st.sampled_from(["g", "h"]),
    "key_id": st.sampled_from(["k", "l"]),
    "collection_id": st.sampled_from(["c", "d"]),
    "document_id": st.sampled_from(["1", "2"]),
    "readers": st.lists(st.sampled_from(PRINCIPALS), unique=True, max_size=3),
    "scopes": st.lists(st.sampled_from(["chat", "search"]), unique=True),
    "status": st.sampled_from(["completed", "stopped", "failed"]),
    "outcome": st.sampled_from(["indexed", "unchanged", "outdated"]),
    "version": st.integers(0, 9),
    "live_version": st.none() | st.integers(0, 9),
    "source_version": st.none() | st.integers(0, 3),
    "attempt": st.integers(1, 3),
    "deadline": MOMENT,
    "media_type": st.just("text/plain"),
    "content_sha256": st.sampled_from(["0" * 64, "1" * 64]),
    "secret_sha256": st.just("0" * 64),
}
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: WORDS,
    int: st.integers(0, 100),
    float: st.floats(0, 1),
    bool: st.booleans(),
    bytes: st.binary(max_size=3),
    Content: WORDS.map(Content.of),
}


def an(kind: type) -> st.SearchStrategy[Any]:
    """Any instance of a dataclass of ours, with ids from small pools so that records meet."""
    hints = typing.get_type_hints(kind)
    return st.builds(kind, **{f.name: _field(f.name, hints[f.name]) for f in dataclasses.fields(kind)})


def _field(name: str, hint: Any) -> st.SearchStrategy[Any]:
    optional = type(None) in get_args(hint)
    if name in BY_NAME and not (optional and name == "readers"):
        return BY_NAME[name]
    if name.endswith("_at"):
        return st.none() | MOMENT if optional else MOMENT
    if name == "readers":
        return st.none() | BY_NAME[name]
    return _typed(hint)


def _typed(hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) in (typing.Union, types.UnionType):
        return st.one_of(*(st.none() if arg is type(None) else _typed(arg) for arg in get_args(hint)))
    if get_origin(hint) is list:
        return st.lists(_typed(get_args(hint)[0]), max_size=2)
    return BY_TYPE[hint] if hint in BY_TYPE else an(hint)


def _sensible(event: Any) -> Event:
    """A turn stays in its conversation, and a conversation with its owner."""
    if hasattr(event, "turn_id") and hasattr(event, "conversation_id"):
        event = dataclasses.replace(event, conversation_id=CONVERSATION[event.turn_id])
    if hasattr(event, "conversation_id") and hasattr(event, "user_id"):
        event = dataclasses.replace(event, user_id=OWNER[event.conversation_id])
    return typing.cast(Event, event)


def _key(topic: Topic, event: Any) -> str:
    if topic is ACCESS_CHANGES:
        return record_key(event)
    if hasattr(event, "document_id"):
        return document_key(event.collection_id, event.document_id)
    return str(event.conversation_id)


def logs(topics: Sequence[Topic]) -> st.SearchStrategy[Log]:
    """What may lie on some topics, in two partitions each."""
    one = st.sampled_from(list(topics)).flatmap(
        lambda topic: st.tuples(st.just(topic), st.one_of(*(an(kind) for kind in topic.events)))
    )
    return st.lists(one, max_size=24).map(_lay)


def _lay(said: list[tuple[Topic, Event]]) -> Log:
    log: Log = defaultdict(list)
    for topic, event in ((topic, _sensible(event)) for topic, event in said):
        key = _key(topic, event).encode()
        place = topic.name, zlib.crc32(key) % 2
        log[place].append(Received(event, *place, len(log[place]), key, event.occurred_at))
    return dict(log)


@st.composite
def arrivals(draw: st.DrawFn, log: Log) -> list[list[Received[Event]]]:
    """A log in batches: partitions in order, but interleaved, and with old records once more, also at the end."""
    at = dict.fromkeys(log, 0)
    batches = []
    while unfinished := [place for place in log if at[place] < len(log[place])]:
        place = draw(st.sampled_from(unfinished))
        size, again = draw(st.integers(1, 4)), draw(st.integers(0, 2))
        start = max(0, at[place] - again)
        batches.append(log[place][start : at[place] + size])
        at[place] += size
    if log:
        batches += draw(st.lists(st.sampled_from(sorted(log)).flatmap(lambda place: _part(log[place])), max_size=4))
    return batches


def _part(records: list[Received[Event]]) -> st.SearchStrategy[list[Received[Event]]]:
    """A few neighbours, as a member that is behind folds them once more."""
    return st.integers(0, len(records) - 1).flatmap(
        lambda start: st.integers(1, 3).map(lambda size: records[start : start + size])
    )
