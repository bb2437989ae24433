"""Which schemas that others registered may be read with: those of our events, and none that makes a reader hang.

A few hostile bytes can ask a decoder for 2^62 items that take no bytes, or for a million nested records.
"""

from collections.abc import Iterator

import fastavro
from fastavro.types import Schema

from schemas.all import EVENTS
from schemas.errors import Undecodable
from schemas.event import NAMESPACE
from schemas.versions import Json

DEEPEST = 32
AT_LEAST_A_BYTE = {"boolean", "int", "long", "float", "double", "bytes", "string", "enum", "array", "map"}


def usable(schema_id: int, schema: Json) -> tuple[str, Schema]:
    """An event's name and the parsed schema that the registry has under an id; raises Undecodable."""
    if schema is None:
        raise Undecodable(f"the registry has no schema with id {schema_id}")
    full = _full_name(schema)
    namespace, _, name = full.rpartition(".")
    if namespace != NAMESPACE or name not in EVENTS:
        raise Undecodable(f"schema {schema_id} is of {full or 'no record'}, which is no event of ours")
    if problem := next(_problems(schema, (), 0), None):
        raise Undecodable(f"schema {schema_id}: {problem}")
    try:
        return name, fastavro.parse_schema(schema)
    except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException) as exc:
        raise Undecodable(f"schema {schema_id} is no Avro schema: {exc}") from exc


def _full_name(schema: Json) -> str:
    if not isinstance(schema, dict) or schema.get("type") != "record":
        return ""
    name, namespace = str(schema.get("name", "")), str(schema.get("namespace", ""))
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _problems(schema: Json, above: tuple[str, ...], depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        yield f"nested deeper than {DEEPEST}"
    elif isinstance(schema, list):
        for branch in schema:
            yield from _problems(branch, above, depth + 1)
    elif isinstance(schema, str):
        if schema.rpartition(".")[2] in above:
            yield f"{schema} holds itself"
    elif isinstance(schema, dict):
        yield from _problems_of(schema, above, depth)


def _problems_of(schema: dict[str, Json], above: tuple[str, ...], depth: int) -> Iterator[str]:
    kind = schema.get("type")
    if kind == "array" and _may_be_empty(schema.get("items")):
        yield "an array of items that may take no bytes"
    within = (*above, str(schema.get("name", "")).rpartition(".")[2]) if kind == "record" else above
    inner = [f.get("type") for f in schema.get("fields", ()) if isinstance(f, dict)]
    for part in (schema.get("items"), schema.get("values"), None if isinstance(kind, str) else kind, *inner):
        if part is not None:
            yield from _problems(part, within, depth + 1)


def _may_be_empty(items: Json) -> bool:
    """False only for what surely takes a byte; null, fixed and what is only named do not."""
    if isinstance(items, list):
        return False  # a union's branch number takes a byte
    kind = items.get("type") if isinstance(items, dict) else items
    if kind == "record" and isinstance(items, dict):
        return all(_may_be_empty(f.get("type")) for f in items.get("fields", ()) if isinstance(f, dict))
    if isinstance(kind, dict):
        return _may_be_empty(kind)
    return kind not in AT_LEAST_A_BYTE
