"""What servers are made of, unpacked in the cache: complete or absent, whatever interrupted the run before."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.progress import Progress

Say = Callable[[str], None]


@dataclass(frozen=True)
class Making:
    """What the making of a part may use: `into` is its empty folder, `cache` the folder for downloads."""

    into: Path
    cache: Path
    progress: Progress
    say: Say


@dataclass(frozen=True)
class Part:
    """A folder in the cache. Its key changes with what it is made of; the sizes are about right."""

    name: str
    key: str
    make: Callable[[Making], None]
    download_bytes: int
    disk_bytes: int

    def folder(self, cache: Path) -> Path:
        """Where it lies."""
        return cache / f"{self.name}-{self.key}"


def is_complete(folder: Path) -> bool:
    """Whether the folder holds as many files and bytes as when it was made."""
    try:
        return (folder / ".complete").read_text() == _measure(folder)
    except FileNotFoundError:
        return False


def _measure(folder: Path) -> str:
    count = size = 0
    for at, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in names:
            if name != ".complete":
                count += 1
                size += os.lstat(os.path.join(at, name)).st_size  # noqa: PTH118 - thousands of files at each start
    return f"{count} files, {size} bytes\n"


def ensure(part: Part, cache: Path, progress: Progress, say: Say) -> Path:
    """The part's folder, made when it is missing or damaged."""
    folder = part.folder(cache)
    with _alone(cache / f".{part.name}.lock"):
        if is_complete(folder):
            return folder
        if folder.exists():
            say(f"{part.name}: damaged in the cache, making it again")
            shutil.rmtree(folder)
        for left in cache.glob(f".new-{part.name}-*"):
            shutil.rmtree(left)
        begun = time.monotonic()
        new = Path(tempfile.mkdtemp(prefix=f".new-{part.name}-", dir=cache))
        part.make(Making(new, cache, progress, say))
        new.chmod(0o755)
        (new / ".complete").write_text(_measure(new))
        new.rename(folder)
        say(f"{part.name}: {part.download_bytes / 1e6:.0f} MB, made in {time.monotonic() - begun:.1f} s")
    return folder


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two clones on one machine make a part once."""
    with path.open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def link_tree(source: Path, target: Path) -> None:
    """Copies a tree by hard links where possible, readable for all: a private folder above it no longer matters."""

    def one(a: str, b: str) -> None:
        mode = Path(a).stat().st_mode
        open_to_all = mode | 0o444 | (0o111 if mode & 0o100 else 0)
        try:
            if mode != open_to_all:  # a link shares its mode with the original, which stays as it is
                raise PermissionError
            os.link(a, b)
        except OSError:
            shutil.copy2(a, b)
            Path(b).chmod(open_to_all)

    shutil.copytree(source, target, symlinks=True, copy_function=one, dirs_exist_ok=True)
    for at, _, _ in os.walk(target):
        Path(at).chmod(0o755)
