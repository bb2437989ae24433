"""Reading goes on while the registry is away, and an outsider's record is never given up because of it."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.registry import provision
from infra.registry.client import HEAD, RegistryClient, subject_of
from infra.settings import Settings
from schemas.codec import FRAME, Codec
from schemas.documents import DocumentPublished, DocumentRetracted
from schemas.errors import Unavailable, Undecodable
from schemas.event import Event
from schemas.versions import canonical, latest
from tests.examples import bytes_of, example
from tests.servers import Servers
from topics.catalogue import DOCUMENTS_LOCAL, TURNS

TOPICS = (DOCUMENTS_LOCAL, TURNS)
NOWHERE = "http://127.0.0.1:9/apis/ccompat/v7"  # the discard port: nobody listens


@pytest.fixture(scope="module")
def provisioned(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A namespace and a folder of its own, with two topics' schemas registered."""
    fresh = servers.settings.model_copy(
        update={"namespace": f"t{secrets.token_hex(5)}-", "data": tmp_path_factory.mktemp("data")}
    )
    provision.provision(fresh, TOPICS)
    return fresh


@pytest.fixture
async def away(provisioned: Settings) -> AsyncIterator[RegistryClient]:
    """A client whose registry is away, with what provisioning kept on disk."""
    async with opened(provisioned.model_copy(update={"registry_url": NOWHERE})) as client:
        yield client


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[RegistryClient]:
    client = RegistryClient(settings)
    try:
        yield client
    finally:
        await client.close()


async def register(settings: Settings, subject: str, body: dict[str, str]) -> int:
    """What an outside system does before it produces."""
    async with httpx.AsyncClient(base_url=settings.registry_url, trust_env=False, headers=HEAD) as http:
        answer = await http.post(f"/subjects/{subject}/versions", json=body)
        answer.raise_for_status()
        return int(answer.json()["id"])


async def outsider_id(settings: Settings) -> int:
    name = "DocumentRetracted"
    subject = subject_of(settings.kafka_name(DOCUMENTS_LOCAL), name)
    return await register(settings, subject, {"schema": canonical(latest(name).schema).decode()})


async def read(client: RegistryClient, schema_id: int) -> Event:
    value = FRAME.pack(0, schema_id) + bytes_of(latest("DocumentRetracted"))
    return await Codec(client).decode(DOCUMENTS_LOCAL.name, DOCUMENTS_LOCAL.events, value, {})


async def test_our_own_records_are_written_and_read_while_the_registry_is_away(away: RegistryClient) -> None:
    await away.load(TOPICS)
    codec = Codec(away)
    encoded = codec.encode(DOCUMENTS_LOCAL.name, example(DocumentPublished))
    event = await codec.decode(DOCUMENTS_LOCAL.name, DOCUMENTS_LOCAL.events, encoded.value, dict(encoded.headers))
    assert event == example(DocumentPublished)


async def test_an_outsiders_record_waits_while_the_registry_is_away(away: RegistryClient) -> None:
    with pytest.raises(Unavailable) as problem:
        await read(away, 4711)
    assert problem.value.server == "registry"


async def test_an_outsiders_record_is_undecodable_only_when_the_registry_has_no_such_id(provisioned: Settings) -> None:
    async with opened(provisioned) as client:
        with pytest.raises(Undecodable, match="no schema with id 2000000000"):
            await read(client, 2_000_000_000)


async def test_a_fetched_schema_is_kept_on_disk(provisioned: Settings, away: RegistryClient) -> None:
    schema_id = await outsider_id(provisioned)
    async with opened(provisioned) as client:
        assert await read(client, schema_id) == example(DocumentRetracted)
    assert await read(away, schema_id) == example(DocumentRetracted)


async def test_a_registry_made_anew_is_believed_over_what_was_kept(provisioned: Settings, tmp_path: Path) -> None:
    other = provisioned.model_copy(update={"data": tmp_path})
    schema_id = await outsider_id(other)
    RegistryClient.remember(other, DOCUMENTS_LOCAL, "DocumentRetracted", schema_id + 1)
    async with opened(other) as client:
        await read(client, schema_id)
    RegistryClient.remember(other, DOCUMENTS_LOCAL, "DocumentRetracted", schema_id)
    async with opened(other.model_copy(update={"registry_url": NOWHERE})) as client:
        with pytest.raises(Unavailable):
            await read(client, schema_id)


async def test_a_schema_that_is_not_avro_is_undecodable(provisioned: Settings) -> None:
    body = {"schemaType": "PROTOBUF", "schema": 'syntax = "proto3"; message Document { string text = 1; }'}
    schema_id = await register(provisioned, f"{provisioned.namespace}other-value", body)
    async with opened(provisioned) as client:
        with pytest.raises(Undecodable, match="no event of ours"):
            await read(client, schema_id)


@pytest.mark.parametrize("status", ["404 Not Found", "503 Service Unavailable", "200 OK"])
async def test_what_a_proxy_before_the_registry_says_is_no_word_about_a_schema(
    provisioned: Settings, status: str
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\ncontent-length: 4\r\nconnection: close\r\n\r\noops".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        async with opened(provisioned.model_copy(update={"registry_url": f"http://127.0.0.1:{port}"})) as client:
            with pytest.raises(Unavailable):
                await read(client, 4712)
