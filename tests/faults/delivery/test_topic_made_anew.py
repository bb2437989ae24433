"""A topic that was deleted and made anew has the old name and other records: the worker stops and says so."""

from confluent_kafka.admin import AdminClient

from infra.kafka.provision import provision
from streams.dead_letters import EX_CONFIG
from tests.faults.delivery.chaos import Chaos
from topics.catalogue import DOCUMENTS


async def test_a_worker_does_not_read_a_topic_that_was_made_anew(chaos: Chaos) -> None:
    await chaos.put("k", 0.05)
    chaos.start("first")
    await chaos.works("first")
    assert await chaos.end("first") == 0
    admin = AdminClient({"bootstrap.servers": chaos.settings.kafka_bootstrap, "log_level": 2})
    for deleted in admin.delete_topics([chaos.settings.kafka_name(DOCUMENTS)]).values():
        deleted.result(60)
    provision(chaos.settings, (DOCUMENTS,))
    await chaos.put("k", 0.05)
    chaos.start("second")
    assert await chaos.ended("second") == EX_CONFIG
    assert "documents was made anew" in chaos.output("second")
    assert chaos.lines("second") == []


async def test_a_worker_that_runs_meanwhile_stops_too(chaos: Chaos) -> None:
    await chaos.put("k", 0.05)
    chaos.start("runs")
    await chaos.works("runs")
    admin = AdminClient({"bootstrap.servers": chaos.settings.kafka_bootstrap, "log_level": 2})
    for deleted in admin.delete_topics([chaos.settings.kafka_name(DOCUMENTS)]).values():
        deleted.result(60)
    provision(chaos.settings, (DOCUMENTS,))
    assert await chaos.ended("runs", 60) == EX_CONFIG
    assert "documents was made anew" in chaos.output("runs")
