"""A schema that an outsider registered can neither hang nor fell a reader."""

from typing import Any

import pytest

from schemas.codec import FRAME
from schemas.documents import DocumentRetracted
from schemas.errors import Undecodable
from schemas.foreign import usable
from schemas.versions import Json, committed, latest
from tests.examples import bytes_of, example
from tests.schemas.test_codec import HUGE, decode


def retracted(*extra: Json) -> Json:
    """The schema of DocumentRetracted with more fields, as an outsider might register it."""
    schema = dict(latest("DocumentRetracted").schema)
    return schema | {"fields": [*schema["fields"], *extra]}


def field(kind: Any) -> Json:
    return {"name": "extra", "type": kind}


def test_a_publisher_may_say_more_than_we_read() -> None:
    schema = retracted(field("string"), {"name": "tags", "type": {"type": "array", "items": "string"}})
    value = FRAME.pack(0, 1) + bytes_of(latest("DocumentRetracted")) + b"\x04hi" + b"\0"
    assert decode(value, {}, schema) == example(DocumentRetracted)


def test_every_schema_of_ours_is_usable() -> None:
    for name, versions in committed().items():
        for version in versions:
            assert usable(1, version.schema)[0] == name


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (retracted(field({"type": "array", "items": "null"})), "items that may take no bytes"),
        (retracted(field(["null", {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}])), "no bytes"),
        (
            retracted(field({"type": "array", "items": {"type": "record", "name": "E", "fields": []}})),
            "items that may take no bytes",
        ),
        (
            retracted(field({"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]})),
            "R holds itself",
        ),
        (retracted(field(["null", "turnlog.DocumentRetracted"])), "DocumentRetracted holds itself"),
        (retracted(field("nonsense")), "no Avro schema"),
        (retracted({"type": "string"}), "no Avro schema"),
        ({"type": "record", "name": "Other", "namespace": "theirs", "fields": []}, "theirs.Other, which is no event"),
        ({"type": "record", "name": "DocumentRetracted", "fields": []}, "no event of ours"),
        ("string", "of no record"),
        (["null"], "of no record"),
        (7, "of no record"),
    ],
)
def test_a_schema_that_could_harm_is_refused_before_a_byte_is_read(schema: Json, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        decode(FRAME.pack(0, 1) + bytes_of(latest("DocumentRetracted")) + HUGE + b"\x02" * 100_000, {}, schema)


def test_a_schema_nested_too_deep_is_refused() -> None:
    deep: Json = "string"
    for _ in range(5000):
        deep = {"type": "array", "items": deep}
    with pytest.raises(Undecodable, match="nested deeper"):
        usable(1, retracted(field(deep)))
