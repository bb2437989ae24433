"""A consumer of the kept topics without a group: where it stands is noted beside what was folded."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from infra.kafka.consumers import mend_consumers
from infra.postgres.freshness import Offsets
from infra.settings import Settings
from schemas.errors import Invalid, Unavailable

Places = dict[TopicPartition, tuple[str, int]]


def places_of(settings: Settings, offsets: Offsets) -> Places:
    """The broker's names of some partitions."""
    return {TopicPartition(settings.kafka_name(topic), part): (topic, part) for topic, part in offsets}


@asynccontextmanager
async def consuming(settings: Settings, folded: Offsets) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of these partitions, at these offsets; raises Unavailable, or Invalid where records were lost."""
    mend_consumers()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=settings.limits.record_bytes,
    )
    try:
        await consumer.start()
        places = places_of(settings, folded)
        consumer.assign(list(places))  # nothing awaited before the seeks: aiokafka's own reset would win
        for place, known in places.items():
            consumer.seek(place, folded[known])
        yield consumer
    except OffsetOutOfRangeError as exc:
        raise Invalid(f"a kept topic lost records that were not folded yet: {exc}") from exc
    except KafkaError as exc:
        raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
    finally:
        await consumer.stop()
