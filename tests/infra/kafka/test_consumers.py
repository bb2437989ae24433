"""A consumer that is stopped while its broker is away."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError

from infra.kafka.consumers import mend_consumers
from infra.settings import Settings
from topics.catalogue import DOCUMENTS


async def test_one_that_waits_to_fetch_again_stops_and_leaves_no_connection(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mend_consumers()
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, retry_backoff_ms=60_000)
    await consumer.start()
    tried = asyncio.Event()

    async def away(*_args: Any, **_kwargs: Any) -> Any:
        tried.set()
        raise KafkaConnectionError

    monkeypatch.setattr(consumer._client, "send", away)
    place = TopicPartition(settings.kafka_name(DOCUMENTS), 0)
    consumer.assign([place])
    consumer.seek(place, 0)
    async with asyncio.timeout(10):
        await tried.wait()  # and in the same step it goes to sleep
        await consumer.stop()
    assert not any(connection.connected() for connection in consumer._client._conns.values())
