"""A consumer that is stopped while its broker is away, and one that asks seldom."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError

from infra.kafka.consumers import fetch_apart, mend_consumers
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


async def test_one_that_asks_seldom_gets_the_first_record_at_once_and_the_next_ones_together(
    settings: Settings,
) -> None:
    mend_consumers()
    place = TopicPartition(settings.kafka_name(DOCUMENTS), 1)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, fetch_max_wait_ms=60_000)
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap) as producer, consumer:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        fetch_apart(consumer, 3)
        async with asyncio.timeout(30):  # the broker alone would hold a request for a minute
            waiting = asyncio.create_task(consumer.getmany(timeout_ms=30_000))
            await producer.send_and_wait(place.topic, b"0", partition=1)
            assert [one.value for one in (await waiting)[place]] == [b"0"]
            for value in (b"1", b"2", b"3"):  # each is on the log before the next
                await producer.send_and_wait(place.topic, value, partition=1)
            assert [one.value for one in (await consumer.getmany(timeout_ms=30_000))[place]] == [b"1", b"2", b"3"]
