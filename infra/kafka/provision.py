"""Provisioning topics from the catalogue: idempotent, shows what differs, never shrinks and never deletes.

`python -m infra.kafka.provision [--dry-run]`
"""

import sys
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from infra.inboxes import read_inboxes
from infra.settings import Settings
from schemas.errors import Invalid, Unavailable
from topics.catalogue import OURS, RECORD_LIMIT_BYTES, Topic

TIMEOUT_SECONDS = 15


@dataclass(frozen=True)
class Change:
    """One difference between the catalogue and the broker, as people read it."""

    topic: str
    what: str


def config_of(topic: Topic) -> dict[str, str]:
    """The broker's configuration of a topic."""
    made = {
        "cleanup.policy": "delete",
        "retention.ms": "-1" if topic.retention is None else str(int(topic.retention.total_seconds() * 1000)),
        "retention.bytes": "-1",
        "max.message.bytes": str(RECORD_LIMIT_BYTES),
    }
    if topic.segment is not None:
        made["segment.ms"] = str(int(topic.segment.total_seconds() * 1000))
    return made


def provision(settings: Settings, topics: tuple[Topic, ...], *, dry_run: bool = False) -> list[Change]:
    """Makes missing topics, sets what differs, says what it did; raises Unavailable, or Invalid (partition count)."""
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2})
    try:
        there = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    except KafkaException as exc:
        raise Unavailable("kafka", str(exc)) from exc
    missing = [t for t in topics if settings.kafka_name(t) not in there]
    for topic in topics:
        found = there.get(settings.kafka_name(topic))
        if found is not None and len(found.partitions) != topic.partitions:
            raise Invalid(
                f"{settings.kafka_name(topic)} has {len(found.partitions)} partitions, the catalogue says "
                f"{topic.partitions}: the number is never changed, because keys would move; restore the topic or "
                "choose another TURNLOG_NAMESPACE"
            )
    changes = [Change(settings.kafka_name(t), f"create: {t.partitions} partitions, {config_of(t)}") for t in missing]
    if missing and not dry_run:
        _create(admin, settings, missing)
    return changes + _configure(admin, settings, [t for t in topics if t not in missing], dry_run)


def _create(admin: AdminClient, settings: Settings, topics: list[Topic]) -> None:
    new = [NewTopic(settings.kafka_name(t), t.partitions, -1, config=config_of(t)) for t in topics]
    _wait(admin.create_topics(new, operation_timeout=TIMEOUT_SECONDS))


def _configure(admin: AdminClient, settings: Settings, topics: list[Topic], dry_run: bool) -> list[Change]:
    if not topics:
        return []
    resources = {ConfigResource(ResourceType.TOPIC, settings.kafka_name(t)): t for t in topics}
    found = admin.describe_configs(list(resources))
    changes, wanted = [], []
    for resource, topic in resources.items():
        now = {name: entry.value for name, entry in found[resource].result(TIMEOUT_SECONDS).items()}
        differs = {name: value for name, value in config_of(topic).items() if now.get(name) != value}
        changes += [Change(resource.name, f"{name}: {now.get(name)} -> {value}") for name, value in differs.items()]
        if differs:
            entries = [
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in differs.items()
            ]
            wanted.append(ConfigResource(ResourceType.TOPIC, resource.name, incremental_configs=entries))
    if wanted and not dry_run:
        _wait(admin.incremental_alter_configs(wanted))
    return changes


def _wait(futures: Mapping[Any, Future[Any]]) -> None:
    try:
        for future in futures.values():
            future.result(TIMEOUT_SECONDS)
    except KafkaException as exc:
        raise Unavailable("kafka", str(exc)) from exc


def topics_of(settings: Settings) -> tuple[Topic, ...]:
    """Every topic of an installation: ours, and its inboxes."""
    return (*OURS, *(inbox.topic for inbox in read_inboxes(settings)))


def main() -> int:
    """Prints a line for each change; exit code 1 with the cause when something cannot be."""
    try:
        settings = Settings()
        changes = provision(settings, topics_of(settings), dry_run="--dry-run" in sys.argv[1:])
    except (Invalid, Unavailable) as exc:
        print(exc, file=sys.stderr)
        return 1
    for change in changes:
        print(f"{change.topic}: {change.what}")
    print(f"{len(changes)} changes" if changes else "topics: nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
