"""Bytes first, the document later; and whose they are."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api.house import House, superuser

WORDS = b"An object of some words.\n" * 20_000


async def in_pieces(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def left_over(house: House) -> list[Path]:
    """What an upload that was not kept left on disk."""
    return [path for path in Path(house.settings.data).rglob("uploads/*") if path.is_file()]


async def test_an_object_streams_in_and_is_known_by_its_hash(house: House) -> None:
    ann = await house.user("ann")
    sha256 = hashlib.sha256(WORDS).hexdigest()
    answer = await ann.put("/v1/objects", content=in_pieces(WORDS))
    assert answer.status_code == 201, answer.text
    assert (answer.json()["sha256"], answer.json()["size"]) == (sha256, len(WORDS))
    assert (await ann.get(answer.headers["location"])).json() == answer.json()
    again = await ann.put("/v1/objects", content=WORDS)
    assert again.json() == answer.json()
    (stored,) = Path(house.settings.data).rglob(sha256)
    assert stored.read_bytes() == WORDS
    assert left_over(house) == []


async def test_an_object_is_its_uploaders_alone_even_when_others_have_the_same_bytes(house: House) -> None:
    bob, cyd = await house.user("bob"), await house.user("cyd")
    path = (await bob.put("/v1/objects", content=b"bob's")).headers["location"]
    assert (await cyd.get(path)).status_code == 404
    await cyd.put("/v1/objects", content=b"bob's")
    assert (await cyd.get(path)).status_code == 200
    assert (await (await house.key("bob", "search")).get(path)).status_code == 403


async def test_a_document_names_an_object_of_its_publishers(house: House) -> None:
    dan, eve = await house.user("dan"), await house.user("eve")
    await dan.post("/v1/collections", json={"collection_id": "big", "name": "Big"})
    mine = (await dan.put("/v1/objects", content=WORDS + b"dan")).json()["sha256"]
    hers = (await eve.put("/v1/objects", content=WORDS + b"eve")).json()["sha256"]
    place, head = "/v1/collections/big/documents/one.txt", {"content-type": "text/plain"}
    answer = await dan.put(place, params={"object_sha256": mine}, headers=head)
    assert (answer.status_code, answer.json()["size"]) == (202, len(WORDS) + 3)
    assert (await dan.put(place, params={"object_sha256": hers}, headers=head)).status_code == 404
    both = await dan.put(place, params={"object_sha256": mine}, content=b"words", headers=head)
    assert (both.status_code, both.json()["type"]) == (422, "urn:turnlog:invalid-content")


async def test_a_body_over_256_kb_becomes_an_object_of_its_publishers(house: House) -> None:
    fay = await house.user("fay")
    await fay.post("/v1/collections", json={"collection_id": "large", "name": "Large"})
    body = WORDS + b"fay"
    await fay.put("/v1/collections/large/documents/one.txt", content=body)
    answer = await fay.get(f"/v1/objects/{hashlib.sha256(body).hexdigest()}")
    assert (answer.status_code, answer.json()["size"]) == (200, len(body))


async def test_an_upload_that_breaks_off_leaves_nothing(house: House) -> None:
    gus = await house.user("gus")

    async def broken() -> AsyncIterator[bytes]:
        yield WORDS
        raise ConnectionError("the sender is gone")

    with pytest.raises(ConnectionError):
        await gus.put("/v1/objects", content=broken())
    async with asyncio.timeout(60):
        while left_over(house):
            await asyncio.sleep(0.02)
    with superuser(house.settings) as root:
        assert root.execute("select count(*) from state.objects where owner = 'user:gus'").fetchone() == (0,)


async def test_an_upload_of_nothing_or_of_too_much_is_refused_before_it_is_kept(house: House) -> None:
    hal = await house.user("hal")
    empty = await hal.put("/v1/objects", content=b"")
    assert (empty.status_code, empty.json()["type"]) == (422, "urn:turnlog:invalid")
    assert b" 413 " in await said_to(house, hal.headers["authorization"], house.settings.limits.upload_bytes + 1)
    assert left_over(house) == []


async def said_to(house: House, authorization: str, size: int) -> bytes:
    """The first line of the answer to an upload that announces its size and sends nothing yet."""
    url = httpx.URL(house.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = f"PUT /v1/objects HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\ncontent-length: {size}\r\n\r\n"
    writer.write(head.encode())
    try:
        return await asyncio.wait_for(reader.readline(), 60)
    finally:
        writer.close()


async def test_a_name_that_is_no_hash_reaches_nothing(house: House) -> None:
    ida = await house.user("ida")
    for name in ("..%2F..%2Fetc%2Fpasswd", "F" * 64, "f" * 63):
        answer: httpx.Response = await ida.get(f"/v1/objects/{name}")
        assert answer.status_code in (404, 422), json.dumps(answer.text)
