"""One example message for each version of each event, readable with all the others."""

import io
import json

import fastavro
import pytest

from schemas.all import EVENTS
from schemas.codec import FRAME, Codec
from schemas.versions import Version, committed
from tests.examples import EXAMPLES, bytes_of, data_of, path_of, versions
from tests.schemas.registered import Registered


def name_of(version: Version) -> str:
    return f"{version.name}.v{version.number}"


def test_each_version_of_each_event_has_an_example_and_no_example_is_left_over() -> None:
    assert {path_of(version).name for version in versions()} == {path.name for path in EXAMPLES.iterdir()}
    assert {version.name for version in versions()} == set(EVENTS)


@pytest.mark.parametrize("version", versions(), ids=name_of)
def test_an_example_decodes_with_every_committed_version(version: Version) -> None:
    for reader in committed()[version.name]:
        read = fastavro.schemaless_reader(io.BytesIO(bytes_of(version)), version.schema, reader.schema)
        assert isinstance(read, dict)
        shared = set(read) & set(data_of(version))
        assert {name: read[name] for name in shared} == {name: data_of(version)[name] for name in shared}


@pytest.mark.parametrize("version", versions(), ids=name_of)
async def test_an_example_is_an_event_of_todays_classes(version: Version) -> None:
    codec, kind = Codec(Registered()), EVENTS[version.name]
    head = {"schema-sha256": version.sha256.encode()}
    event = await codec.decode("any", (kind,), FRAME.pack(0, 1) + bytes_of(version), head)
    assert type(event) is kind


@pytest.mark.parametrize("version", versions(), ids=name_of)
def test_an_example_is_written_in_avros_json_encoding_to_the_letter(version: Version) -> None:
    again = io.StringIO()
    fastavro.json_writer(again, version.schema, [data_of(version)])
    assert json.loads(again.getvalue()) == json.loads(path_of(version).read_text())
