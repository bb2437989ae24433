"""Avro schemas out of the typed events, and the committed versions of each.

`schemas/avro/Name.vN.avsc` is written by `make generate` and never changed again: every version stays, so that every
record ever written can be read. `versions.txt` beside them lists each with its hash, so that a change is noticed.
"""

import hashlib
import json
import types
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from schemas.event import NAMESPACE, Doc, Event

FOLDER = Path(__file__).parent / "avro"
PRIMITIVES = {str: "string", int: "long", float: "double", bool: "boolean", bytes: "bytes"}

Json = Any


def schema_of(event: type[Event]) -> Json:
    """The Avro record of an event class; fields in the class's order, envelope first."""
    return _record(event, set())


def _record(kind: type, named: set[str]) -> Json:
    full = f"{NAMESPACE}.{kind.__name__}"
    if full in named:
        return full
    named.add(full)
    hints = get_type_hints(kind, include_extras=True)
    made = [_field(f.name, hints[f.name], f.default, named) for f in fields(kind)]
    return {"type": "record", "name": kind.__name__, "namespace": NAMESPACE, "doc": _first_line(kind), "fields": made}


def _field(name: str, hint: Any, default: Any, named: set[str]) -> Json:
    if get_origin(hint) is not Annotated:
        raise TypeError(f"field {name} has no Doc: say what it means, with its unit")
    inner, *notes = get_args(hint)
    doc = next(note.text for note in notes if isinstance(note, Doc))
    optional, inner = _optional(inner)
    avro = _type(inner, named)
    made: dict[str, Json] = {"name": name, "type": ["null", avro] if optional else avro, "doc": doc}
    if optional:
        made["default"] = None
    elif default is not MISSING:
        made["default"] = default
    return made


def _optional(hint: Any) -> tuple[bool, Any]:
    if get_origin(hint) in (types.UnionType, Union):
        inner = [a for a in get_args(hint) if a is not types.NoneType]
        return True, inner[0]
    return False, hint


def _type(hint: Any, named: set[str]) -> Json:
    if get_origin(hint) is list:
        return {"type": "array", "items": _type(get_args(hint)[0], named)}
    if is_dataclass(hint) and isinstance(hint, type):
        return _record(hint, named)
    return PRIMITIVES[hint]


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def canonical(schema: Json) -> bytes:
    """The bytes that the header `schema-sha256` is the hash of: JSON, keys in written order, no white space."""
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True)
class Version:
    """One committed version of an event's schema."""

    name: str
    number: int
    schema: Json
    sha256: str

    @property
    def line(self) -> str:
        """As `versions.txt` lists it."""
        return f"{self.name} {self.number} {self.sha256}"


@cache
def committed(folder: Path = FOLDER) -> dict[str, list[Version]]:
    """Every committed version by event name, oldest first."""
    found: dict[str, list[Version]] = {}
    for path in folder.glob("*.avsc"):
        name, number = path.stem.rsplit(".v", 1)
        schema = json.loads(path.read_text())
        digest = hashlib.sha256(canonical(schema)).hexdigest()
        found.setdefault(name, []).append(Version(name, int(number), schema, digest))
    return {name: sorted(versions, key=lambda v: v.number) for name, versions in sorted(found.items())}


def latest(name: str) -> Version:
    """The version that is written now."""
    return committed()[name][-1]
