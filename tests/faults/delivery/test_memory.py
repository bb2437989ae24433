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
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as http, asyncio.timeout(100):
        while len(seen) < 12 or "turnlog_lag" not in seen[-1] or not is_full(seen):
            await asyncio.sleep(0.5)
            if chaos.lines("full", "start"):
                seen.append(sums((await http.get("/metrics")).text))
    assert max(one["turnlog_events_held_bytes"] for one in seen) <= 64 * 1024 * 1024
    assert max(one["process_resident_memory_bytes"] for one in seen) < 400 * MB
    assert seen[-1]["turnlog_lag"] == RECORDS, "nothing of it is finished"
    assert await chaos.end("full") == 0


def is_full(seen: list[dict[str, float]]) -> bool:
    """Whether it takes no more."""
    before, now = (one["turnlog_events_held"] for one in seen[-2:])
    return before == now > 200


def sums(exposition: str) -> dict[str, float]:
    """Metrics by name, summed over their labels."""
    families = text_string_to_metric_families(exposition)
    return {family.name: sum(sample.value for sample in family.samples) for family in families if family.samples}
