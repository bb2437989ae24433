"""Provisioning topics from the catalogue: idempotent, shows what differs, never shrinks and never deletes.

A topic that keeps more than the catalogue asks for, or takes larger records, stays as it is: somebody may have widened
it on purpose, and what a smaller limit removes is gone. Each run says so; Kafka's own tools shrink it.

`python -m infra.kafka.provision [--dry-run]`
"""

import sys
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from infra.inboxes import read_inboxes
from infra.settings import Settings, read_settings
from schemas.errors import Invalid, Unavailable
from topics.catalogue import OURS, RECORD_LIMIT_BYTES, Topic

TIMEOUT_SECONDS = 15
UNLIMITED = -1
NEVER_LOWERED = ("retention.ms", "retention.bytes", "max.message.bytes")


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
        differences = _differences(admin, settings, topics)
        if any(d.to_do for d in differences) and not dry_run:
            _create(admin, settings, [d.topic for d in differences if d.missing])
            _configure(admin, settings, [d for d in differences if not d.missing and d.to_do])
            _wait_until_seen(admin, settings, topics)
    except KafkaException as exc:
        raise Unavailable("kafka", str(exc)) from exc
    return [change for difference in differences for change in difference.changes(settings)]


@dataclass(frozen=True)
class _Difference:
    """What a topic's configuration should be where it is not; `now` None: there is no such topic."""

    topic: Topic
    now: dict[str, str | None] | None
    wanted: dict[str, str]

    @property
    def missing(self) -> bool:
        return self.now is None

    @property
    def to_do(self) -> dict[str, str]:
        """What is to be set."""
        return {key: value for key, value in self.wanted.items() if not self._kept(key)}

    def _kept(self, key: str) -> bool:
        now = (self.now or {}).get(key)
        return now is not None and key in NEVER_LOWERED and _more(int(now), int(self.wanted[key]))

    def changes(self, settings: Settings) -> list[Change]:
        name = settings.kafka_name(self.topic)
        if self.now is None:
            return [Change(name, f"create: {self.topic.partitions} partitions, {self.wanted}")]
        return [
            Change(name, f"{key}: {self.now.get(key)} is kept, the catalogue says {value}")
            if self._kept(key)
            else Change(name, f"{key}: {self.now.get(key)} -> {value}")
            for key, value in self.wanted.items()
        ]


def _more(one: int, other: int) -> bool:
    return other != UNLIMITED and (one == UNLIMITED or one > other)


def _differences(admin: AdminClient, settings: Settings, topics: tuple[Topic, ...]) -> list[_Difference]:
    there = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    for topic in topics:
        found = there.get(settings.kafka_name(topic))
        if found is not None and len(found.partitions) != topic.partitions:
            raise Invalid(
                f"{settings.kafka_name(topic)} has {len(found.partitions)} partitions, the catalogue says "
                f"{topic.partitions}: the number is never changed, because keys would move; restore the topic or "
                "choose another TURNLOG_NAMESPACE"
            )
    missing = [_Difference(t, None, config_of(t)) for t in topics if settings.kafka_name(t) not in there]
    return missing + _configured(admin, settings, [t for t in topics if settings.kafka_name(t) in there])


def _configured(admin: AdminClient, settings: Settings, topics: list[Topic]) -> list[_Difference]:
    if not topics:
        return []
    resources = {ConfigResource(ResourceType.TOPIC, settings.kafka_name(t)): t for t in topics}
    found = admin.describe_configs(list(resources))
    made = []
    for resource, topic in resources.items():
        now = {name: entry.value for name, entry in found[resource].result(TIMEOUT_SECONDS).items()}
        differs = {name: value for name, value in config_of(topic).items() if now.get(name) != value}
        made += [_Difference(topic, now, differs)] if differs else []
    return made


def _create(admin: AdminClient, settings: Settings, topics: list[Topic]) -> None:
    new = [NewTopic(settings.kafka_name(t), t.partitions, -1, config=config_of(t)) for t in topics]
    _wait(admin.create_topics(new, operation_timeout=TIMEOUT_SECONDS) if new else {})


def _configure(admin: AdminClient, settings: Settings, differences: list[_Difference]) -> None:
    wanted = [
        ConfigResource(
            ResourceType.TOPIC,
            settings.kafka_name(difference.topic),
            incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in difference.to_do.items()
            ],
        )
        for difference in differences
    ]
    _wait(admin.incremental_alter_configs(wanted) if wanted else {})


def _wait(futures: Mapping[Any, Future[Any]]) -> None:
    for future in futures.values():
        try:
            future.result(TIMEOUT_SECONDS)
        except KafkaException as exc:
            if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody provisions beside us
                raise


def _wait_until_seen(admin: AdminClient, settings: Settings, topics: tuple[Topic, ...]) -> None:
    """The controller has it; a broker follows a moment later, and whoever comes next asks a broker."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while any(difference.to_do for difference in _differences(admin, settings, topics)):
        if time.monotonic() > deadline:
            raise Unavailable("kafka", f"what was provisioned is not seen after {TIMEOUT_SECONDS} s")
        time.sleep(0.02)


def topics_of(settings: Settings) -> tuple[Topic, ...]:
    """Every topic of an installation: ours, and its inboxes."""
    return (*OURS, *(inbox.topic for inbox in read_inboxes(settings)))


def main() -> int:
    """Prints a line for each change; exit code 1 with the cause when something cannot be."""
    try:
        settings = read_settings()
        changes = provision(settings, topics_of(settings), dry_run="--dry-run" in sys.argv[1:])
    except (Invalid, Unavailable) as exc:
        print(exc, file=sys.stderr)
        return 1
    for change in changes:
        print(f"{change.topic}: {change.what}")
    print(f"{len(changes)} change{'s' * (len(changes) != 1)}" if changes else "topics: nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
