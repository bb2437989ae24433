"""How a broker of one node starts on this machine."""

import base64
import shutil
import uuid
from pathlib import Path

from infra.local.jvm import java
from infra.local.layout import write_private
from infra.local.local import Local
from infra.local.once import run
from infra.local.parts import Making, Part
from infra.local.pins import download_all, key_of, pinned
from infra.local.probes import accepts
from infra.local.server import Server, Started

LOG4J = """status=warn
appender.out.type=Console
appender.out.name=OUT
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d] %p %m (%c{1})%n
rootLogger.level=info
rootLogger.appenderRef.out.ref=OUT
"""
# Read as Latin-1, and a comma separates folders: so its own is named from where it runs, which is its folder.
PROPERTIES = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
offsets.retention.minutes=5256000
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
default.replication.factor=1
min.insync.replicas=1
num.partitions=12
message.max.bytes=2097152
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=2097152
log.index.size.max.bytes=1048576
log.segment.bytes=134217728
"""


def part() -> Part:
    """The broker's jars in the cache."""
    pins = pinned("kafka")
    return Part("kafka", key_of(pins), _make, sum(pin.size for pin in pins), 46_000_000)


def _make(making: Making) -> None:
    for file in download_all("kafka", making):
        shutil.move(file, making.into / file.name)


def kafka(local: Local) -> Server:
    """The broker and its controller in one process."""
    folder = local.folder("kafka")
    return Server(
        name="kafka",
        folder=folder,
        command=(*_java(local), "kafka.Kafka", str(folder / "server.properties")),
        environment=local.environment("kafka"),
        is_ready=lambda started: _is_ready(local.ports.kafka, started),
        account=local.account,
        prepare=lambda: _prepare(local),
    )


def _java(local: Local) -> list[str]:
    # An explicit, sorted class path: `*` has the order of the folder and would void the class archive.
    jars = ":".join(sorted(map(str, local.parts["kafka"].glob("*.jar"))))
    folder = local.folder("kafka")
    flags = ("-Xms32m", "-Xss512k", "-XX:MaxDirectMemorySize=64m")
    logging = "-Dlog4j2.configurationFile=log4j2.properties"  # a list of URIs, so from where it runs as well
    return [*java(local.parts["jvm"], folder / "tmp", "256m", *flags, logging), "-cp", jars]


def _prepare(local: Local) -> None:
    folder = local.folder("kafka")
    local.prepare_folders("kafka", "data")
    values = {"port": local.ports.kafka, "controller": local.ports.kafka_controller}
    properties = write_private(folder / "server.properties", PROPERTIES.format(**values), local.account)
    write_private(folder / "log4j2.properties", LOG4J, local.account)
    if not (folder / "data/meta.properties").exists():
        _format(local, properties)


def _format(local: Local, properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    # Without an archive: it would write one of the few classes that it uses, and the broker would keep that one.
    tool = [
        "-XX:-AutoCreateSharedArchive",
        "-XX:SharedArchiveFile=",
        "kafka.tools.StorageTool",
        "format",
        "--ignore-formatted",
        f"--cluster-id={cluster}",
        "-c",
        str(properties),
    ]
    run(local, "kafka", [*_java(local), *tool])


async def _is_ready(port: int, started: Started) -> bool:
    return "Kafka Server started" in started.said() and await accepts(port)
