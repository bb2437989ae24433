"""The ids of topics: another id under the same name is another topic, and old offsets mean nothing in it."""

import asyncio

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from infra.settings import Settings
from infra.waiting import until_available
from schemas.errors import Unavailable
from topics.catalogue import Topic

TIMEOUT_SECONDS = 10


async def topic_ids(settings: Settings, topics: tuple[Topic, ...]) -> dict[str, str]:
    """The id of each topic by its plain name; waits until the broker is there and has them all."""
    return await until_available("kafka", lambda: asyncio.to_thread(_topic_ids, settings, topics))


def _topic_ids(settings: Settings, topics: tuple[Topic, ...]) -> dict[str, str]:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2})
    names = {settings.kafka_name(topic): topic.name for topic in topics}
    try:
        found = admin.describe_topics(TopicCollection(list(names)), request_timeout=TIMEOUT_SECONDS)
        return {names[name]: str(future.result(TIMEOUT_SECONDS).topic_id) for name, future in found.items()}
    except (KafkaException, TimeoutError) as exc:
        raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
