"""Records that nobody can read, between records that run: nothing is committed past what is not finished."""

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from confluent_kafka import Producer

from schemas.codec import Encoded
from schemas.delivery import DeadLetter
from schemas.documents import DocumentPublished
from streams.dead_letters import EX_CONFIG
from tests.faults.delivery.chaos import Chaos
from topics.catalogue import DEAD_LETTERS, DOCUMENTS, DOCUMENTS_LOCAL

pytestmark = pytest.mark.timeout(300)  # processes start and end, on a machine that may be busy

POISON = Encoded(b"no event of ours", [("why", b"a test")])


async def letters(chaos: Chaos) -> Sequence[DeadLetter]:
    return [event for event in await chaos.events(DEAD_LETTERS) if isinstance(event, DeadLetter)]


async def test_poison_behind_a_running_event_commits_nothing_past_it(chaos: Chaos, tmp_path: Path) -> None:
    enough = tmp_path / "enough"
    await chaos.put("slow", enough, partition=0)
    await chaos.put("slow", 0.05, partition=0)
    await chaos.publisher.publish_bytes(DOCUMENTS, "poison", POISON, partition=0)
    await chaos.put("other", 0.05, partition=0)
    chaos.start("first", TURNLOG_INSTANCE="one")
    await chaos.until(lambda: "2" in chaos.ids("end"))
    await chaos.commits()
    assert len(await letters(chaos)) == 1
    assert chaos.committed()[0] < 0, "offset 0 runs, so nothing is committed, whatever is finished behind it"
    chaos.kill("first")
    enough.touch()
    chaos.start("second", TURNLOG_INSTANCE="one")
    await chaos.until(lambda: chaos.committed()[0] == 4)
    assert chaos.ids("end") == {"0", "1", "2"}
    assert {(letter.offset, letter.value, letter.key) for letter in await letters(chaos)} == {
        (2, POISON.value, b"poison")
    }
    assert await chaos.end("second") == 0


async def test_twenty_dead_letters_in_a_row_stop_the_worker_and_nothing_after_them_is_committed(chaos: Chaos) -> None:
    await chaos.put("before", 0.05, partition=0)
    chaos.start("stops")
    await chaos.works("stops")
    for _ in range(25):
        await chaos.publisher.publish_bytes(DOCUMENTS, "poison", POISON, partition=0)
    await chaos.put("after", 0.05, partition=0)
    assert await chaos.ended("stops") == EX_CONFIG
    assert 1 <= chaos.committed()[0] <= 20, "the one before them and 19 of them: the twentieth is not acked"
    assert len(await letters(chaos)) == 20
    assert "stopped for good" in chaos.output("stops")


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_an_inbox_full_of_poison_stops_nobody_and_loses_nothing(chaos: Chaos, codec: str) -> None:
    encoded = chaos.codec.encode(DOCUMENTS_LOCAL.name, document("good"))
    bomb = bytes(5 * 1024 * 1024)
    source = Producer(
        {
            "bootstrap.servers": chaos.settings.kafka_bootstrap,
            "enable.idempotence": True,
            "compression.type": codec,
            "message.max.bytes": 10_000_000,
            "log_level": 2,
        }
    )
    inbox = chaos.settings.kafka_name(DOCUMENTS_LOCAL)
    for _ in range(45):
        source.produce(inbox, b"?" * 10, key=b"k", partition=0)
    source.produce(inbox, bomb, key=b"k", partition=0)
    source.produce(inbox, encoded.value, partition=0)  # no key
    source.produce(inbox, encoded.value, key=b"\xff", partition=0)
    assert source.flush(60) == 0
    chaos.start("admits")
    await chaos.until(lambda: "good" in chaos.ids("end"))
    assert await chaos.end("admits") == 0
    found = await letters(chaos)
    assert sorted(letter.offset for letter in found) == list(range(47))
    (large,) = [letter for letter in found if letter.value_sha256]
    assert (large.offset, large.value) == (45, None)
    assert "alarm: an inbox" in chaos.output("admits")


class Odd(str):
    """A name that is sent as bytes that are no UTF-8."""

    def encode(self, *_: str) -> bytes:
        return b"wh\xff"


async def test_a_header_name_that_is_no_utf8_stops_nobody(chaos: Chaos) -> None:
    encoded = chaos.codec.encode(DOCUMENTS_LOCAL.name, document("odd"))
    source = AIOKafkaProducer(bootstrap_servers=chaos.settings.kafka_bootstrap)
    await source.start()
    batch = source.create_batch()
    batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 1_000_000)  # the fast one checks names
    for value, name in ((b"?", "why"), (b"?", Odd("why")), (encoded.value, Odd("why")), (encoded.value, "why")):
        batch.append(key=b"k", value=value, timestamp=1, headers=[(name, b"h")])
    await (await source.send_batch(batch, chaos.settings.kafka_name(DOCUMENTS_LOCAL), partition=0))
    await source.stop()
    chaos.start("reads")
    await chaos.until(lambda: [line.offset for line in chaos.lines(what="end")] == [2, 3])
    assert await chaos.end("reads") == 0
    assert [(one.offset, one.headers[0].name, one.value) for one in await letters(chaos)] == [
        (0, "why", b"?"),
        (1, "wh\\xff", b"?"),
    ]


def document(name: str) -> DocumentPublished:
    return DocumentPublished(collection_id="c", document_id=name, content=b"text")


async def test_it_stops_in_order_at_once_when_it_still_waits_for_its_servers(chaos: Chaos) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        chaos.start("waits", TURNLOG_KAFKA_BOOTSTRAP=f"127.0.0.1:{nobody.getsockname()[1]}")
        await chaos.until(lambda: "waiting for a server" in chaos.output("waits"))
        assert await chaos.end("waits", 10) == 0
