"""From any Kafka client to a passage that is found: admission and indexing as processes, killed and frozen."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest_asyncio
from confluent_kafka.admin import AdminClient, NewTopic

from infra.kafka.publisher import Publisher
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.codec import Codec
from schemas.documents import DocumentAccepted, DocumentFailed, DocumentIndexed, DocumentPublished, DocumentRetracted
from schemas.versions import latest
from tests.api.house import House
from tests.code import ROOT, imported, tree_of
from tests.faults.turns.processes import Processes, until
from tests.kafka_reading import all_of
from tests.streams.inboxes.seen import events, finds, state
from tests.workers import start
from topics.catalogue import DOCUMENT_STATUS, DOCUMENTS, DOCUMENTS_LOCAL

EXAMPLE = ROOT / "examples/publish.py"
BACKLOG = 500


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def source(house: House) -> AsyncIterator[Publisher]:
    """An outside system's producer."""
    registry = RegistryClient(house.settings)
    await registry.load((DOCUMENTS_LOCAL,))
    async with Publisher.open(house.settings, Codec(registry)) as publisher:
        yield publisher
    await registry.close()


async def say(source: Publisher, *events: DocumentPublished | DocumentRetracted) -> None:
    """Puts events into the inbox, and waits until the broker has them."""
    sent = [await source.send(DOCUMENTS_LOCAL, event.document_id, event) for event in events]
    await asyncio.gather(*sent)


def published(document: str, words: str, version: int | None = None) -> DocumentPublished:
    return DocumentPublished(
        collection_id="handbook", document_id=document, content=words.encode(), source_version=version
    )


async def publish(settings: Settings, topic: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Runs the example on every file of the folder."""
    command = [sys.executable, str(EXAMPLE), "--kafka", settings.kafka_bootstrap, "--registry", settings.registry_url]
    command += ["--topic", topic, "--collection", "handbook", *map(str, sorted(folder.iterdir()))]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)


async def test_an_outside_system_in_forty_lines_publishes_what_is_then_found(
    house: House, workers: Processes, tmp_path: Path
) -> None:
    assert len(EXAMPLE.read_text().splitlines()) <= 40
    assert not imported(tree_of(EXAMPLE)) & {"schemas", "topics", "infra", "streams", "turnlog"}
    (tmp_path / "night shift.md").write_text("# Night shift\n\nThe pump in hall 3 stops at 02:00.\n")
    (tmp_path / "page.html").write_text(f"<h1>Valves</h1><p>Valve 7 leaks.<!--{'x' * (1024 * 1024 - 50)}-->")
    done = await publish(house.settings, house.settings.kafka_name(DOCUMENTS_LOCAL), tmp_path)
    assert done.returncode == 0, done.stderr
    admin = house.people["admin"]

    async def both() -> bool:
        return {await state(admin, name) for name in ("night%20shift.md", "page.html")} == {"indexed"}

    await until(both, otherwise="they were not indexed")
    assert await finds(admin, "which pump stops", "night shift.md")
    assert await finds(admin, "leaking valve", "page.html")


async def test_the_forty_lines_end_with_an_error_when_the_broker_takes_a_document_not(
    house: House, tmp_path: Path
) -> None:
    refusing = f"{house.settings.namespace}refusing"
    admin = AdminClient({"bootstrap.servers": house.settings.kafka_bootstrap})
    made = admin.create_topics([NewTopic(refusing, 1, 1, config={"max.message.bytes": "1000000"})])[refusing]
    await asyncio.to_thread(made.result, 15)
    subject, event = f"{refusing}-turnlog.DocumentPublished", json.dumps(latest("DocumentPublished").schema)
    async with httpx.AsyncClient(trust_env=False) as registry:
        answer = await registry.post(
            f"{house.settings.registry_url}/subjects/{subject}/versions", json={"schema": event, "schemaType": "AVRO"}
        )
        assert answer.status_code == 200, answer.text
    (tmp_path / "small.txt").write_text("small")
    (tmp_path / "large.txt").write_bytes(b"x" * 1024 * 1024)
    done = await publish(house.settings, refusing, tmp_path)
    assert done.returncode == 1
    assert "large.txt was not delivered: Broker: Message size too large" in done.stderr
    assert "small.txt" not in done.stderr


async def test_what_an_inbox_may_not_say_is_told_on_the_topic_and_the_next_record_goes_on(
    house: House, workers: Processes, source: Publisher
) -> None:
    stranger = DocumentPublished(collection_id="elsewhere", document_id="x", content=b"words")
    await say(source, stranger, published("next", "The next one."))
    admin = house.people["admin"]
    await until(lambda: _is(admin, "next", "indexed"), otherwise="the next one was not indexed")
    failed: list[DocumentFailed] = []

    async def told() -> bool:
        said = await events(house.settings, DOCUMENT_STATUS)
        failed[:] = [event for event in said if isinstance(event, DocumentFailed)]
        return bool(failed)

    await until(told, otherwise="it was not told")
    assert [(event.collection_id, event.code) for event in failed] == [("elsewhere", "unknown-collection")]
    assert failed[0].source.topic == "documents-local"


async def test_admission_killed_at_any_moment_loses_no_document_and_brings_no_old_version_back(
    house: House, workers: Processes, source: Publisher
) -> None:
    admin, names = house.people["admin"], {f"k{number}" for number in range(40)}
    for version in range(2):
        before = len(await all_of(house.settings, DOCUMENTS))
        await say(source, *(published(name, words_of(version)) for name in names))

        async def some_admitted(before: int = before) -> bool:
            return len(await all_of(house.settings, DOCUMENTS)) > before

        await until(some_admitted, otherwise="nothing was admitted")
        workers.kill("inboxes")
        start(workers, "inboxes")

    async def all_newest() -> bool:
        page = await admin.get("/v1/collections/handbook/documents", params={"limit": 1000})
        told = [one for one in page.json()["documents"] if one["document_id"] in names]
        assert {one["document_id"] for one in told} <= names
        return [(one["state"], one["size"]) for one in told] == [("indexed", len(words_of(1)))] * len(names)

    await until(all_newest, 90, "not everything was indexed in its newest version")
    found = await admin.post("/v1/search", json={"query": "words of version", "limit": 100})
    assert {p["text"] for p in found.json()["passages"] if p["document_id"] in names} == {words_of(1)}
    admitted = [event for event in await events(house.settings, DOCUMENTS) if isinstance(event, DocumentAccepted)]
    places = {(event.source.partition, event.source.offset) for event in admitted if event.document_id in names}
    assert len(places) == 2 * len(names)


def words_of(version: int) -> str:
    """Of another length for each version, so that a list tells which is the newest."""
    return f"Words of version {'I' * (version + 1)}."


async def test_a_withdrawal_hides_in_seconds_while_a_backlog_waits_and_nothing_is_indexed(
    house: House, workers: Processes, source: Publisher
) -> None:
    admin = house.people["admin"]
    await say(source, published("secret-1", "The secret recipe of soup."), published("secret-2", "A secret recipe."))
    await until(lambda: _is(admin, "secret-1", "indexed"))
    await until(lambda: _is(admin, "secret-2", "indexed"))
    assert await finds(admin, "secret recipe", "secret-1")
    workers.freeze("documents")
    try:
        await say(source, *(published(f"b{number}", f"Backlog {number}.") for number in range(BACKLOG)))
        await say(source, DocumentRetracted(collection_id="handbook", document_id="secret-1"))
        assert (await admin.delete("/v1/collections/handbook/documents/secret-2")).status_code == 204
        assert not await finds(admin, "secret recipe", "secret-2")
        await until(lambda: _hidden(admin, "secret recipe", "secret-1"), 30, "the retracted document is still found")
        assert await state(admin, "secret-1") == "removing"
    finally:
        workers.thaw("documents")
    await until(lambda: _is(admin, "secret-1", "withdrawn"), 90, "it was not removed behind the backlog")
    await until(lambda: _is(admin, f"b{BACKLOG - 1}", "indexed"), 90, "the backlog was not indexed")


async def test_receipts_tell_an_outside_system_what_became_of_each_record(
    house: House, workers: Processes, source: Publisher
) -> None:
    admin = house.people["admin"]
    await say(source, published("receipt", "One.", 2))
    await until(lambda: _is(admin, "receipt", "indexed"))
    await say(source, published("receipt", "One.", 3), published("receipt", "Zero.", 1))

    async def told() -> list[str]:
        said = await events(house.settings, DOCUMENT_STATUS)
        mine = [event for event in said if isinstance(event, DocumentIndexed) and event.document_id == "receipt"]
        return [event.outcome for event in mine]

    async def three() -> bool:
        return await told() == ["indexed", "unchanged", "outdated"]

    await until(three, otherwise=f"the receipts are {await told()}")


async def _is(admin: httpx.AsyncClient, document: str, wanted: str) -> bool:
    return await state(admin, document) == wanted


async def _hidden(admin: httpx.AsyncClient, words: str, document: str) -> bool:
    return not await finds(admin, words, document)
