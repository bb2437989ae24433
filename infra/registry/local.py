"""How the schema registry starts on this machine, with its data in our Postgres."""

import tarfile

from infra.local.jvm import java
from infra.local.local import Local
from infra.local.parts import Making, Part
from infra.local.pins import download_all, key_of, pinned
from infra.local.probes import answers
from infra.local.server import Server
from infra.postgres.local import registry_password

FLAGS = ("-Xms32m", "-XX:TieredStopAtLevel=1", "-Xss512k", "-XX:MaxMetaspaceSize=160m", "-XX:ReservedCodeCacheSize=48m")


def part() -> Part:
    """The program in the cache."""
    pins = pinned("registry")
    return Part("registry", key_of(pins), _make, sum(pin.size for pin in pins), 170_000_000)


def _make(making: Making) -> None:
    for file in download_all("registry", making):
        with tarfile.open(file) as archive:
            if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(making.into)  # noqa: S202 - its hash was checked
        file.unlink()


def registry(local: Local) -> Server:
    """Apicurio behind its Confluent-compatible routes. It starts when Postgres is there."""
    folder, ports = local.folder("registry"), local.ports
    return Server(
        name="registry",
        folder=folder,
        command=(
            *java(local.parts["jvm"], folder / "tmp", "128m", *FLAGS),
            "-Dquarkus.http.host=127.0.0.1",
            f"-Dquarkus.http.port={ports.registry}",
            "-Dquarkus.management.host=127.0.0.1",
            f"-Dquarkus.management.port={ports.registry_management}",
            "-Dapicurio.ccompat.max-subjects=100000",
            "-jar",
            str(local.parts["registry"] / "quarkus-run.jar"),
        ),
        environment=local.environment("registry")
        | {
            "APICURIO_STORAGE_SQL_KIND": "postgresql",
            "APICURIO_DATASOURCE_USERNAME": "registry",
            "APICURIO_DATASOURCE_PASSWORD": registry_password(local),
            "APICURIO_DATASOURCE_URL": f"jdbc:postgresql://127.0.0.1:{ports.postgres}/registry",
            "APICURIO_DATASOURCE_JDBC_INITIAL_SIZE": "1",
            "APICURIO_DATASOURCE_JDBC_MIN_SIZE": "1",
            "APICURIO_DATASOURCE_JDBC_MAX_SIZE": "8",
        },
        is_ready=lambda _: answers(ports.registry, "/apis/ccompat/v7/subjects"),
        account=local.account,
        prepare=lambda: local.prepare_folders("registry"),
    )
