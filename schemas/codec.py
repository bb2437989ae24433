"""Events to bytes and back, in Confluent's wire format: a zero byte, the schema's id (4 bytes, big endian), Avro.

Our own records also carry the headers `type` and `schema-sha256`, so they are read with the committed schemas while the
registry is away. A record without them (an outside system's) is read with the schema that the registry has for its id.
"""

import io
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, Protocol, cast, get_args, get_origin, get_type_hints

import fastavro
from fastavro.types import Schema

from schemas.all import EVENTS
from schemas.errors import Undecodable
from schemas.event import NAMESPACE, Event
from schemas.foreign import usable
from schemas.versions import Json, committed, latest

Headers = Mapping[str, bytes | None]
FRAME = struct.Struct(">bI")


class Registry(Protocol):
    """What the codec asks of a schema registry."""

    def id_of(self, topic: str, name: str) -> int:
        """The registered id of an event's latest schema on a topic; KeyError: not provisioned."""

    async def schema_of(self, schema_id: int) -> Json | None:
        """The schema under an id, None when there is no such id; raises Unavailable."""


@dataclass(frozen=True)
class Encoded:
    """One record's value and headers."""

    value: bytes
    headers: list[tuple[str, bytes]]


class Codec:
    """Encodes what we write and decodes what we read; holds parsed schemas, nothing else."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._frames: dict[tuple[str, str], bytes] = {}
        self._fetched: dict[int, tuple[str, Schema]] = {}

    def encode(self, topic: str, event: Event) -> Encoded:
        """Bytes and headers of an event; raises TypeError, ValueError or OverflowError when a field does not fit."""
        name = type(event).__name__
        frame = self._frames.get((topic, name))
        if frame is None:
            frame = self._frames[topic, name] = FRAME.pack(0, self._registry.id_of(topic, name))
        body = io.BytesIO()
        body.write(frame)
        fastavro.schemaless_writer(body, _parsed(latest(name).sha256), _dicts(event, named=True))
        return Encoded(body.getvalue(), _headers(name))

    async def decode(
        self, topic: str, allowed: tuple[type[Event], ...], value: bytes | None, headers: Headers
    ) -> Event:
        """The event in a record of a topic that allows these types; raises Undecodable, or Unavailable (registry)."""
        if not value:
            raise Undecodable("a record without a value")
        if value[0] != 0 or len(value) < FRAME.size:
            raise Undecodable(
                "not in Confluent's wire format: the first byte is the magic byte 0, then four bytes of schema id"
            )
        name, writer = await self._writer(value, headers)
        if EVENTS.get(name) not in allowed:
            raise Undecodable(f"{name} does not belong on {topic}")
        return _read(name, writer, memoryview(value)[FRAME.size :])

    async def _writer(self, value: bytes, headers: Headers) -> tuple[str, Schema]:
        digest = (headers.get("schema-sha256") or b"").decode("ascii", "replace")
        if digest in _by_sha256():
            return _by_sha256()[digest], _parsed(digest)
        _, schema_id = FRAME.unpack_from(value)
        if schema_id not in self._fetched:
            self._fetched[schema_id] = usable(schema_id, await self._registry.schema_of(schema_id))
        return self._fetched[schema_id]


def _read(name: str, writer: Schema, body: memoryview) -> Event:
    stream = io.BytesIO(body)
    reader = _parsed(latest(name).sha256)
    try:
        data: Any = fastavro.schemaless_reader(stream, writer, None if reader is writer else reader)
    except Exception as exc:  # no await in here, and hostile bytes raise nearly anything
        raise Undecodable(f"not a {name}: {type(exc).__name__}: {exc}") from exc
    if stream.tell() != len(body):
        raise Undecodable(f"not a {name}: {len(body) - stream.tell()} bytes too many")
    return cast(Event, maker(cast(type, EVENTS[name]))(data))


@cache
def _by_sha256() -> dict[str, str]:
    return {version.sha256: name for name, versions in committed().items() for version in versions}


@cache
def _parsed(sha256: str) -> Schema:
    version = next(v for versions in committed().values() for v in versions if v.sha256 == sha256)
    return fastavro.parse_schema(json.loads(json.dumps(version.schema)))


@cache
def _headers(name: str) -> list[tuple[str, bytes]]:
    return [("type", name.encode()), ("schema-sha256", latest(name).sha256.encode())]


@cache
def _names(kind: type) -> list[str]:
    return [f.name for f in fields(kind)]


def plain(value: Any) -> Any:
    """Dataclasses to dicts, all the way down."""
    return _dicts(value, named=False)


def _dicts(value: Any, *, named: bool) -> Any:
    """`named`: a record that is one branch of a union with its name, or fastavro looks through all of it twice."""
    kind = type(value)
    if kind is list:
        return [_dicts(item, named=named) for item in value]
    holding = _holding(kind)  # type: ignore[arg-type] # a type is hashable
    if holding is None:
        return value
    made = vars(value).copy()
    for name, record in holding:
        held = _dicts(made[name], named=named)
        made[name] = (record, held) if named and record and held is not None else held
    return made


@cache
def _holding(kind: type) -> tuple[tuple[str, str | None], ...] | None:
    """The fields of a dataclass that may hold others, with the name of a record in a union; None: it is none."""
    if not is_dataclass(kind):
        return None
    hints = get_type_hints(kind)
    return tuple((name, _record_or_none(hints[name])) for name in _names(kind) if _nested(hints[name]))


def _record_or_none(hint: Any) -> str | None:
    """The record's name, when a field holds one or nothing."""
    record = next((a for a in get_args(hint) if a is not type(None)), None)
    if get_origin(hint) is list or not is_dataclass(record):
        return None
    return f"{NAMESPACE}.{cast(type, record).__name__}"


@cache
def maker(kind: type) -> Callable[[dict[str, Any]], Any]:
    """A function from fastavro's dict to a dataclass; nested ones are made, too."""
    hints = get_type_hints(kind)
    nested = {name: inner for name in _names(kind) if (inner := _nested(hints[name]))}

    def make(data: dict[str, Any]) -> Any:
        for name, inner in nested.items():
            data[name] = inner(data[name])
        return kind(**data)

    return make


def _nested(hint: Any) -> Callable[[Any], Any] | None:
    """Makes what a field holds out of fastavro's dicts; None: it holds none. Optional ones and lists of any depth."""
    if is_dataclass(hint):
        return maker(cast(type, hint))
    inner = next((a for a in get_args(hint) if a is not type(None)), None)
    if inner is None or (one := _nested(inner)) is None:
        return None
    if get_origin(hint) is list:
        return lambda items: [one(item) for item in items]
    return lambda item: None if item is None else one(item)
