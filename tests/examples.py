"""The committed example messages (`schemas/examples`, Avro's JSON encoding), as data, as bytes and as events."""

import io
import json
import re
from pathlib import Path
from typing import Any, TypeVar, cast

import fastavro

from schemas.codec import maker
from schemas.event import Event
from schemas.versions import FOLDER, Version, committed, latest

E = TypeVar("E", bound=Event)
EXAMPLES = FOLDER.parent / "examples"


def versions() -> list[Version]:
    """Every committed version of every event."""
    return [version for found in committed().values() for version in found]


def path_of(version: Version) -> Path:
    """`DocumentIndexed`, 1 -> document-indexed.v1.json."""
    kebab = re.sub(r"(?<!^)(?=[A-Z])", "-", version.name).lower()
    return EXAMPLES / f"{kebab}.v{version.number}.json"


def data_of(version: Version) -> dict[str, Any]:
    """The example of a version as fastavro's dict; fastavro wants one record a line, people do not."""
    line = json.dumps(json.loads(path_of(version).read_text()))
    return cast(dict[str, Any], next(iter(fastavro.json_reader(io.StringIO(line), version.schema))))


def bytes_of(version: Version) -> bytes:
    """The example's Avro body, written with its own version."""
    body = io.BytesIO()
    fastavro.schemaless_writer(body, version.schema, data_of(version))
    return body.getvalue()


def example(kind: type[E]) -> E:
    """The example of an event's latest version."""
    made: E = maker(cast(type, kind))(data_of(latest(kind.__name__)))
    return made
