"""The Java example, compiled and run: what it publishes is found, what it cannot deliver it says."""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from infra.kafka.log import partition_of
from schemas.documents import DocumentFailed, DocumentIndexed
from tests.api.house import House
from tests.code import ROOT
from tests.faults.delivery.chaos import free_port
from tests.faults.turns.processes import Processes, until
from tests.java import Program, compiled
from tests.kafka_reading import all_of
from tests.streams.inboxes.seen import events, finds, state
from topics.catalogue import DOCUMENT_STATUS, DOCUMENTS_LOCAL

EXAMPLE = ROOT / "examples/java/Publish.java"
TOO_LARGE = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The example, compiled."""
    return compiled(EXAMPLE, tmp_path_factory.mktemp("classes"))


async def publish(example: Program, house: House, *more: str, kafka: str = "") -> "subprocess.CompletedProcess[str]":
    """Runs the example on an installation's inbox."""
    settings = house.settings
    where = ("--kafka", kafka or settings.kafka_bootstrap, "--registry", settings.registry_url)
    return await asyncio.to_thread(example.run, *where, "--topic", settings.kafka_name(DOCUMENTS_LOCAL), *more)


def test_the_example_is_small_uses_nothing_of_ours_and_names_the_jars_that_it_is_run_with(example: Program) -> None:
    source = EXAMPLE.read_text()
    assert len(source.splitlines()) <= 90
    used = set(re.findall(r"^import (java|org\.apache\.\w+|[\w.]+)\.", source, re.MULTILINE))
    assert used == {"java", "org.apache.kafka", "org.apache.avro", "com.fasterxml.jackson.databind"}
    named = {f"{name}-{version}.jar" for name, version in re.findall(r":([a-z0-9-]+):(\d[\d.]*\d)", source)}
    assert named == {jar.name for jar in example.jars}


async def test_what_the_example_publishes_is_found_until_it_is_retracted(
    example: Program, house: House, workers: Processes, tmp_path: Path
) -> None:
    (tmp_path / "night shift.md").write_text("# Night shift\n\nThe pump in hall 3 stops at 02:00.\n")
    (tmp_path / "page.html").write_text(f"<h1>Valves</h1><p>Valve 7 leaks.<!--{'x' * (1024 * 1024 - 50)}-->")
    done = await publish(example, house, "--collection", "handbook", *map(str, tmp_path.iterdir()))
    assert done.returncode == 0, done.stderr
    receipts: dict[str, str] = {}

    async def told() -> bool:
        said = await events(house.settings, DOCUMENT_STATUS)
        receipts.update({event.document_id: event.outcome for event in said if isinstance(event, DocumentIndexed)})
        return len(receipts) == 2

    await until(told, otherwise="they were not indexed")
    assert receipts == {"night shift.md": "indexed", "page.html": "indexed"}
    admin = house.people["admin"]
    assert await finds(admin, "which pump stops", "night shift.md")
    assert await finds(admin, "leaking valve", "page.html")
    done = await publish(example, house, "--collection", "handbook", "--retract", "page.html")
    assert done.returncode == 0, done.stderr

    async def withdrawn() -> bool:
        return await state(admin, "page.html") == "withdrawn"

    await until(withdrawn, otherwise="it was not withdrawn")
    assert not await finds(admin, "leaking valve", "page.html")
    assert await finds(admin, "which pump stops", "night shift.md")
    for record in await all_of(house.settings, DOCUMENTS_LOCAL):
        assert record.partition == partition_of(record.key, DOCUMENTS_LOCAL.partitions)


async def test_what_is_too_large_is_said_and_the_next_one_goes_and_is_told_that_its_collection_is_unknown(
    example: Program, house: House, workers: Processes, tmp_path: Path
) -> None:
    (tmp_path / "large.txt").write_bytes(b"x" * TOO_LARGE)
    (tmp_path / "small.txt").write_text("small")
    done = await publish(example, house, "--collection", "elsewhere", *map(str, sorted(tmp_path.iterdir())))
    assert done.returncode == 1
    assert re.search(rf"large\.txt was not delivered: The message .* larger than {TOO_LARGE}", done.stderr)
    assert "small.txt" not in done.stderr
    failed: list[tuple[str, str, str]] = []

    async def told() -> bool:
        said = [event for event in await events(house.settings, DOCUMENT_STATUS) if isinstance(event, DocumentFailed)]
        failed[:] = [(event.collection_id, event.document_id, event.code) for event in said]
        return bool(failed)

    await until(told, otherwise="it was not told")
    assert failed == [("elsewhere", "small.txt", "unknown-collection")]


async def test_a_broker_that_is_away_is_said_of_each_file(example: Program, house: House, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("one")
    (tmp_path / "two.txt").write_text("two")
    away = f"127.0.0.1:{free_port()}"
    done = await publish(example, house, "--collection", "handbook", *map(str, tmp_path.iterdir()), kafka=away)
    assert done.returncode == 1
    assert f"one.txt was not delivered: no answer of {away}" in done.stderr
    assert f"two.txt was not delivered: no answer of {away}" in done.stderr
