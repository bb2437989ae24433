"""What aiokafka's producer lacks when its broker is away for long (read in its source, and seen, at 0.14)."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer

PAUSE_SECONDS = 0.2


def be_patient(producer: AIOKafkaProducer) -> None:
    """Its batches wait as long as the broker is away, and it asks who leads a partition with pauses.

    By itself it drops a batch that is older than a request may take while no leader is known (a broker that stops in
    order leaves its partitions so). The sequence numbers of that batch are spent: to all that follows on the partition
    the broker answers OutOfOrderSequenceNumber, for ever. And it asks for the leader hundreds of times a second.
    """
    update = producer.client._metadata_update

    async def paced(*asked: Any) -> bool:
        updated: bool = await update(*asked)
        if not updated:
            await asyncio.sleep(PAUSE_SECONDS)
        return updated

    producer.client._metadata_update = paced
    producer._message_accumulator._batch_ttl = float("inf")
