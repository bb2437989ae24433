"""Schemas come from the classes, every field with what it means, and what is committed stays readable."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from schemas.all import EVENTS
from schemas.event import Content, Doc
from schemas.generate import clashes, drift
from schemas.versions import FOLDER, Version, canonical, committed, latest, schema_of
from tests.examples import versions


def records(schema: Any) -> Iterator[dict[str, Any]]:
    """Every record within a schema, itself included."""
    if isinstance(schema, list):
        for branch in schema:
            yield from records(branch)
    elif isinstance(schema, dict) and schema["type"] == "record":
        yield schema
        for field in schema["fields"]:
            yield from records(field["type"])
    elif isinstance(schema, dict):
        yield from records(schema["items"])


@pytest.mark.parametrize("version", versions(), ids=lambda version: f"{version.name}.v{version.number}")
def test_every_record_and_every_field_says_what_it_means(version: Version) -> None:
    for record in records(version.schema):
        assert record["doc"]
        assert all(field["doc"] for field in record["fields"])


def test_the_newest_version_of_each_event_is_that_of_its_class() -> None:
    for name, event in EVENTS.items():
        assert canonical(latest(name).schema) == canonical(schema_of(event))


def test_every_field_added_later_has_a_default_so_that_older_records_are_read() -> None:
    for found in committed().values():
        first = {field["name"] for field in found[0].schema["fields"]}
        later = [field for version in found[1:] for field in version.schema["fields"] if field["name"] not in first]
        assert all("default" in field for field in later)


def test_versions_are_numbered_without_gaps() -> None:
    for found in committed().values():
        assert [version.number for version in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize("change", ["edited", "removed"])
def test_a_committed_version_that_was_edited_or_removed_is_refused_and_not_listed_anew(
    tmp_path: Path, change: str
) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "avro"))
    assert drift(write=False, folder=folder) == []
    file = folder / "TurnRequested.v1.avsc"
    if change == "edited":
        file.write_text(file.read_text().replace('"string"', '"bytes"', 1))
    else:
        file.unlink()
    before = sorted(path.read_text() for path in folder.iterdir())
    committed.cache_clear()
    for write in (False, True):
        assert drift(write, folder)[0].startswith("TurnRequested.v1.avsc: edited or removed")
    assert sorted(path.read_text() for path in folder.iterdir()) == before


def test_a_new_version_is_listed_when_it_is_written(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(FOLDER, tmp_path / "avro"))
    (folder / "GroupDeleted.v1.avsc").unlink()
    listed = (folder / "versions.txt").read_text().splitlines()
    (without,) = [line for line in listed if line.startswith("GroupDeleted ")]
    (folder / "versions.txt").write_text("".join(f"{line}\n" for line in listed if line != without))
    assert drift(write=False, folder=folder) == [
        "GroupDeleted: the class is newer than its schema; run `make generate`"
    ]
    assert drift(write=True, folder=folder) == []
    assert (folder / "versions.txt").read_text().splitlines()[-1] == without


@dataclass(frozen=True)
class Bare:
    """A class whose field says nothing."""

    words: str


@dataclass(frozen=True)
class Twice:
    """A class that holds another one twice, and lists of it."""

    one: Annotated[Content, Doc("first")]
    two: Annotated[Content | None, Doc("second")]
    more: Annotated[list[Content], Doc("more")]


def test_a_field_without_its_meaning_is_refused() -> None:
    with pytest.raises(TypeError, match="field words has no Doc"):
        schema_of(Bare)  # type: ignore[arg-type]


def test_a_class_used_twice_is_written_once_and_named_after() -> None:
    fields = {field["name"]: field for field in schema_of(Twice)["fields"]}  # type: ignore[arg-type]
    assert fields["one"]["type"]["name"] == "Content"
    assert fields["two"]["type"] == ["null", "turnlog.Content"]
    assert fields["two"]["default"] is None
    assert fields["more"]["type"] == {"type": "array", "items": "turnlog.Content"}


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"name": "more", "type": ["null", "string"], "default": None}, True),
        ({"name": "more", "type": "string", "default": ""}, True),
        ({"name": "more", "type": "string"}, False),
    ],
)
def test_a_field_may_be_added_only_with_a_default(change: dict[str, Any], allowed: bool) -> None:
    version = latest("ConversationDeleted")
    wider = version.schema | {"fields": [*version.schema["fields"], change]}
    assert (clashes(wider, [version]) == []) is allowed


def test_a_field_may_be_taken_away_only_when_it_had_a_default() -> None:
    version = latest("DocumentRetracted")
    fields = version.schema["fields"]
    without_optional = version.schema | {"fields": [f for f in fields if f["name"] != "source_version"]}
    without_required = version.schema | {"fields": [f for f in fields if f["name"] != "document_id"]}
    assert clashes(without_optional, [version]) == []
    assert "document_id" in clashes(without_required, [version])[0]


def test_a_type_may_not_change() -> None:
    version = latest("ConversationDeleted")
    fields = [f | {"type": "long"} if f["name"] == "user_id" else f for f in version.schema["fields"]]
    assert "reader type: long not compatible" in clashes(version.schema | {"fields": fields}, [version])[0]
