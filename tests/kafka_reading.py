"""What lies on a topic, whole and raw."""

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from infra.settings import Settings
from topics.catalogue import Topic


async def all_of(settings: Settings, topic: Topic) -> list[ConsumerRecord]:
    """Every record of a topic up to its end now, by partition and offset."""
    places = [TopicPartition(settings.kafka_name(topic), partition) for partition in range(topic.partitions)]
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap, group_id=None, auto_offset_reset="earliest"
    ) as consumer:
        ends = await consumer.end_offsets(places)
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    return sorted(found, key=lambda record: (record.partition, record.offset))
