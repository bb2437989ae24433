"""How an OpenSearch of one node starts on this machine, on a Java runtime without its own word breakers."""

import shutil
import zipfile
from pathlib import Path

from infra.local.jvm import java
from infra.local.layout import write_private
from infra.local.local import Local
from infra.local.parts import Making, Part
from infra.local.pins import download_all, key_of, pinned
from infra.local.probes import answers
from infra.local.server import Server

VERSION = "3.6.0"
PLUGINS = ("opensearch-knn", "neural-search")
NOT_NEEDED = (
    "modules/ingest-geoip",
    "modules/ingest-user-agent",
    "modules/opensearch-dashboards",
    "modules/repository-url",
    "lib/tools/fips-demo-installer-cli",
)
CONFIGURATION = """cluster.name: local
node.name: n1
network.host: 127.0.0.1
http.port: {port}
transport.port: {transport}
discovery.type: single-node
path.data: {folder}/data
path.logs: {folder}/logs
path.repo: ["{folder}/snapshots"]
action.auto_create_index: false
cluster.routing.allocation.disk.threshold_enabled: false
"""
LOG4J = """status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d{ISO8601}][%-5p][%-25c{1.}] %m%n
rootLogger.level = info
rootLogger.appenderRef.console.ref = console
logger.grpc.name = org.opensearch.transport.grpc
logger.grpc.level = warn
"""
FLAGS = (
    # From a small heap its start collected 60 times, 1.2 s in which it does nothing else; so it does 21 times, 0.65 s.
    "-Xms160m",
    "-XX:NewSize=64m",
    "-Xss1m",
    # C2 on the methods of the start took 5 of its 13 CPU seconds; what searches run is called this often soon.
    "-XX:Tier4InvocationThreshold=50000",
    "-XX:Tier4MinInvocationThreshold=6000",
    "-XX:Tier4CompileThreshold=150000",
    "-XX:Tier4BackEdgeThreshold=400000",
    "-Djna.nosys=true",
    "-Dopensearch.networkaddress.cache.ttl=60",
    "-Dopensearch.networkaddress.cache.negative.ttl=10",
    "-Dfile.encoding=UTF-8",
    # Every new index builds the analyzer `thai`; the runtime has no Thai word breaker, ICU (in lib/) does.
    "-Djava.locale.providers=CLDR,SPI",
    "-XX:-OmitStackTraceInFastThrow",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dio.netty.noUnsafe=true",
    "-Dio.netty.noKeySetOptimization=true",
    "-Dio.netty.recycler.maxCapacityPerThread=0",
    "-Dio.netty.allocator.numDirectArenas=0",
    "-Dlog4j.shutdownHookEnabled=false",
    "-Dlog4j2.disable.jmx=true",
    "-Dorg.apache.lucene.store.MMapDirectory.sharedArenaMaxPermits=1",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
)


def part() -> Part:
    """The program and its plugins in the cache."""
    pins = pinned("opensearch")
    return Part("opensearch", key_of(pins, NOT_NEEDED), _make, sum(pin.size for pin in pins), 155_000_000)


def _make(making: Making) -> None:
    home = making.into / f"opensearch-{VERSION}"
    files = download_all("opensearch", making)
    for file in files:
        plugin = next((name for name in PLUGINS if file.name.startswith(name)), None)
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as archive:
                archive.extractall(home / "plugins" / plugin if plugin else making.into)
    for file in files:
        if file.suffix == ".jar":
            shutil.copyfile(file, home / "lib" / file.name)
        file.unlink()
    for name in NOT_NEEDED:
        shutil.rmtree(home / name, ignore_errors=True)


def opensearch(local: Local) -> Server:
    """One node; C2 stays on, because searches count and the start does not get faster without it."""
    folder, home = local.folder("opensearch"), local.parts["opensearch"] / f"opensearch-{VERSION}"
    # There is no agent, but the core wants classes of its bootstrap jar.
    jars = sorted(map(str, home.glob("lib/*.jar"))) + sorted(
        map(str, home.glob("agent/opensearch-agent-bootstrap-*.jar"))
    )
    command = (
        *java(local.parts["jvm"], folder / "tmp", "512m", *FLAGS, f"-Djna.tmpdir={folder / 'tmp'}"),
        f"-Dopensearch.path.home={home}",
        f"-Dopensearch.path.conf={folder}/conf",
        "-Dopensearch.distribution.type=zip",
        "-Dopensearch.bundled_jdk=false",
        "-cp",
        ":".join(jars),
        "org.opensearch.bootstrap.OpenSearch",
    )
    health = "/_cluster/health?wait_for_status=yellow&timeout=2s"
    return Server(
        name="opensearch",
        folder=folder,
        command=command,
        environment=local.environment("opensearch"),
        is_ready=lambda _: answers(local.ports.opensearch, health, seconds=4),
        account=local.account,
        prepare=lambda: _prepare(local, folder),
    )


def _prepare(local: Local, folder: Path) -> None:
    local.prepare_folders("opensearch", "conf", "data", "logs", "snapshots")
    values = {"port": local.ports.opensearch, "transport": local.ports.opensearch_transport, "folder": folder}
    write_private(folder / "conf/opensearch.yml", CONFIGURATION.format(**values), local.account)
    write_private(folder / "conf/log4j2.properties", LOG4J, local.account)
