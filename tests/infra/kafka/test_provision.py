"""Topics come to be as the catalogue says, whatever is there already, and nothing is ever taken away."""

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from infra.kafka.provision import config_of, provision
from infra.settings import Settings
from schemas.errors import Invalid
from tests.servers import Servers
from topics.catalogue import ANSWERS_LIVE, DEAD_LETTERS, PARTITIONS, TURNS

TOPICS = (TURNS, ANSWERS_LIVE)


@dataclass(frozen=True)
class Broker:
    """The real broker, as an administrator sees one namespace of it."""

    admin: AdminClient
    settings: Settings

    def topics(self) -> dict[str, int]:
        """Partitions by plain name."""
        found = self.admin.list_topics(timeout=60).topics
        return {
            self.settings.plain_name(name): len(topic.partitions)
            for name, topic in found.items()
            if name.startswith(self.settings.namespace)
        }

    def make(self, name: str, partitions: int, **config: str) -> None:
        """Makes a topic as somebody else would."""
        new = NewTopic(self.settings.kafka_name(name), partitions, 1, config=config)
        for future in self.admin.create_topics([new]).values():
            future.result(60)
        self.wait_for(lambda: self.topics().get(name) == partitions and config.items() <= self.config(name).items())

    @staticmethod
    def wait_for(seen: Callable[[], bool]) -> None:
        """The controller knows first, the broker a moment later."""
        deadline = time.monotonic() + 60
        while not seen():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def config(self, name: str) -> dict[str, str]:
        """The configuration of a topic."""
        resource = ConfigResource(ResourceType.TOPIC, self.settings.kafka_name(name))
        found = self.admin.describe_configs([resource])[resource].result(60)
        return {key: entry.value for key, entry in found.items()}


@pytest.fixture
def broker(servers: Servers) -> Iterator[Broker]:
    settings = servers.settings.model_copy(update={"namespace": f"t{secrets.token_hex(5)}-"})
    found = Broker(AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2}), settings)
    yield found
    if names := [settings.kafka_name(name) for name in found.topics()]:
        for future in found.admin.delete_topics(names).values():
            future.result(60)


def test_missing_topics_are_made_as_the_catalogue_says_and_a_second_run_finds_nothing_to_do(broker: Broker) -> None:
    made = provision(broker.settings, TOPICS)
    assert [change.topic for change in made] == [broker.settings.kafka_name(topic) for topic in TOPICS]
    assert all(change.what.startswith("create: 12 partitions") for change in made)
    assert provision(broker.settings, TOPICS) == []
    assert broker.topics() == {topic.name: PARTITIONS for topic in TOPICS}
    for topic in TOPICS:
        assert broker.config(topic.name).items() >= config_of(topic).items()


def test_two_that_provision_at_once_both_succeed(broker: Broker) -> None:
    with ThreadPoolExecutor(4) as pool:
        for made in [pool.submit(provision, broker.settings, TOPICS) for _ in range(4)]:
            made.result(60)
    assert broker.topics() == {topic.name: PARTITIONS for topic in TOPICS}


def test_a_dry_run_says_what_it_would_make_and_makes_nothing(broker: Broker) -> None:
    assert len(provision(broker.settings, TOPICS, dry_run=True)) == len(TOPICS)
    assert broker.topics() == {}


def test_a_setting_that_differs_is_shown_and_put_right_and_others_stay(broker: Broker) -> None:
    broker.make("answers-live", PARTITIONS, **{"retention.ms": "1000", "compression.type": "zstd"})
    shown = provision(broker.settings, (ANSWERS_LIVE,), dry_run=True)
    assert "retention.ms: 1000 -> 86400000" in [change.what for change in shown]
    assert broker.config("answers-live")["retention.ms"] == "1000"
    assert provision(broker.settings, (ANSWERS_LIVE,)) == shown
    assert broker.config("answers-live")["retention.ms"] == "86400000"
    assert broker.config("answers-live")["compression.type"] == "zstd"


def test_what_a_topic_keeps_is_widened_but_never_shrunk(broker: Broker) -> None:
    broker.make("answers-live", PARTITIONS, **{"retention.ms": "-1", "max.message.bytes": "9000000"})
    broker.make("turns", PARTITIONS, **{"retention.ms": "1000", "retention.bytes": "1000", "max.message.bytes": "1000"})
    said = [change.what for change in provision(broker.settings, TOPICS)]
    assert "retention.ms: -1 is kept, the catalogue says 86400000" in said
    assert "max.message.bytes: 9000000 is kept, the catalogue says 2097152" in said
    assert {name: broker.config("answers-live")[name] for name in ("retention.ms", "max.message.bytes")} == {
        "retention.ms": "-1",
        "max.message.bytes": "9000000",
    }
    assert "retention.ms: 1000 -> -1" in said
    assert broker.config("turns").items() >= config_of(TURNS).items()
    assert all("is kept" in change.what for change in provision(broker.settings, TOPICS))


def test_another_number_of_partitions_is_refused_with_cause_and_cure_before_anything_is_changed(broker: Broker) -> None:
    broker.make("turns", 3)
    with pytest.raises(Invalid, match=r"turns has 3 partitions, the catalogue says 12: .* keys would move; restore"):
        provision(broker.settings, (ANSWERS_LIVE, TURNS))
    assert broker.topics() == {"turns": 3}


def test_a_topic_that_the_catalogue_does_not_know_is_left_alone(broker: Broker) -> None:
    broker.make("theirs", 1)
    provision(broker.settings, (DEAD_LETTERS,))
    assert broker.topics() == {"theirs": 1, "dead-letters": PARTITIONS}


def test_records_of_kept_topics_are_kept_for_ever() -> None:
    assert config_of(TURNS)["retention.ms"] == "-1"
    assert config_of(replace(TURNS, retention=timedelta(days=30)))["retention.ms"] == "2592000000"
    assert all(config_of(topic)["cleanup.policy"] == "delete" for topic in TOPICS)
