"""A Java program of one file on the servers' own runtime, which has no compiler: one that is a jar stands in for it."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

import infra.kafka.local
import infra.local.jvm
from infra.local.certificates import with_certificates
from infra.local.parts import Making, Part, ensure
from infra.local.pins import download, key_of, pinned
from infra.local.progress import Progress
from ops.fetch import cache

PINS = "java-example"
OF_KAFKA = ("kafka-clients", "slf4j-api", "jackson-databind", "jackson-core", "jackson-annotations")
SECONDS = 100


@dataclass(frozen=True)
class Program:
    """A compiled program, and the jars that it was given: those it names, nothing else."""

    command: tuple[str, ...]
    jars: tuple[Path, ...]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Runs it to its end."""
        command = [*self.command, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def compiled(source: Path, into: Path) -> Program:
    """The program of a file, which may use Kafka's client and Avro; compiled for Java 17 without a warning."""
    jvm, kafka, more = (_made(part) for part in (infra.local.jvm.part(), infra.kafka.local.part(), _part()))
    java = (str(jvm / "bin/java"), "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
    jars = (_only(more, "avro"), *(_only(kafka, name) for name in OF_KAFKA))
    path = ":".join(map(str, jars))
    strict = ("-17", "-failOnWarning", "-proc:none", "-encoding", "UTF-8")
    command = [*java, "-jar", str(_only(more, "ecj")), *strict, "-classpath", path, "-d", str(into), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    return Program((*java, "-classpath", f"{path}:{into}", source.stem), jars)


def _only(folder: Path, name: str) -> Path:
    (found,) = folder.glob(f"{name}-[0-9]*.jar")
    return found


def _part() -> Part:
    """Avro and the compiler in the cache; no server is made of them, so `make run` never fetches them."""
    pins = pinned(PINS)
    size = sum(pin.size for pin in pins)
    return Part(PINS, key_of(pins), _make, size, size)


def _make(making: Making) -> None:
    downloads = making.into / "downloads"  # its own: `make run` clears the common one
    for pin in pinned(PINS):
        shutil.move(download(pin, downloads, making.progress, making.say), making.into)
    shutil.rmtree(downloads)


def _made(part: Part) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in with_certificates(os.environ).items():
            patch.setenv(name, value)
        return ensure(part, cache(), Progress(part.download_bytes), print)
