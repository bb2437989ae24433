"""A backlog larger than what may be held: it stays on the broker."""

import asyncio

import httpx
from prometheus_client.parser import text_string_to_metric_families

from schemas.documents import DocumentWithdrawn, Source
from tests.faults.delivery.chaos import Chaos, free_port
from topics.catalogue import DOCUMENTS

RECORDS, RECORD_BYTES = 1600, 250_000
MB = 1_000_000


async def test_a_backlog_of_400_mb_is_not_taken_into_memory(chaos: Chaos) -> None:
    work = "work 600 " + "x" * RECORD_BYTES
    sent = [
        await chaos.publisher.send(
            DOCUMENTS,
            f"c{number}",
            DocumentWithdrawn(collection_id="c", document_id=str(number), publisher=work, source=Source()),
        )
        for number in range(RECORDS)
    ]
    await asyncio.gather(*sent)
    port = free_port()
    chaos.start("full", TURNLOG_HEALTH_PORT=str(port), TURNLOG_LIMITS__DRAIN_SECONDS="0")
    seen: list[dict[str, float]] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http, asyncio.timeout(40):
        while len(seen) < 12:
            await asyncio.sleep(0.5)
            if chaos.lines("full", "start"):
                text = (await http.get("/metrics")).text
                seen.append(
                    {
                        family.name: family.samples[0].value
                        for family in text_string_to_metric_families(text)
                        if family.samples
                    }
                )
    assert seen[-1]["turnlog_events_held"] == seen[-2]["turnlog_events_held"] > 200
    assert max(one["turnlog_events_held_bytes"] for one in seen) <= 64 * 1024 * 1024
    assert max(one["process_resident_memory_bytes"] for one in seen) < 350 * MB
    assert await chaos.end("full") == 0
