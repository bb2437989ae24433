"""Makes what is missing in the cache, all parts side by side; prints `NAME<tab>FOLDER` for each as soon as it is there.

`python -m ops.fetch` is a process of its own, so that a stop ends downloads at once; nothing half made is ever used.
"""

import errno
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import infra.kafka.local
import infra.local.jvm
import infra.opensearch.local
import infra.postgres.local
import infra.registry.local
import infra.triton.local
import infra.triton.model_part
from infra.local.certificates import with_certificates
from infra.local.layout import Account, cache_folder, placed
from infra.local.parts import Part, Say, ensure, is_complete
from infra.local.progress import Progress
from schemas.errors import Invalid, Unavailable

SPARE_BYTES = 200_000_000


def parts() -> tuple[Part, ...]:
    """Everything the servers are made of; the longest to make comes first."""
    return (
        infra.opensearch.local.part(),
        infra.triton.model_part.part(),
        infra.registry.local.part(),
        infra.triton.local.part(),
        infra.local.jvm.part(),
        infra.kafka.local.part(),
        infra.postgres.local.part(),
    )


def cache() -> Path:
    """The cache folder, where the servers' account can read it."""
    return placed(cache_folder(), "cache", account=Account.for_servers())


def complete() -> dict[str, Path]:
    """The parts that are there, by name."""
    found = {part.name: part.folder(cache()) for part in parts()}
    return {name: folder for name, folder in found.items() if is_complete(folder)}


def fetch(say: Say) -> None:
    """Makes all that is missing; raises Invalid or Unavailable with the cause and the cure."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    missing = [part for part in parts() if not is_complete(part.folder(folder))]
    size = sum(part.download_bytes for part in missing)
    room = sum(part.download_bytes + part.disk_bytes for part in missing) + SPARE_BYTES
    check_room(folder, room)
    if missing:
        say(f"fetching {', '.join(part.name for part in missing)}: about {size / 1e6:.0f} MB into {folder}")
    progress = Progress(size)
    with ThreadPoolExecutor(len(parts())) as pool:
        for made in [pool.submit(partial(_tell, part, folder, progress, say)) for part in parts()]:
            made.result()
    shutil.rmtree(folder / "downloads", ignore_errors=True)


def _tell(part: Part, folder: Path, progress: Progress, say: Say) -> None:
    print(f"{part.name}\t{ensure(part, folder, progress, say)}", flush=True)


def check_room(folder: Path, wanted: int) -> None:
    """Raises Invalid when the disk has less free than so many bytes."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise Invalid(
            f"{folder} has {free / 1e6:.0f} MB free, {wanted / 1e6:.0f} MB are needed.\n"
            "Make room, or choose another folder with TURNLOG_CACHE=FOLDER; what is there already is kept."
        )


def main() -> int:
    """Exit code 1 with the cause on stderr."""
    os.environ.update(with_certificates(os.environ))
    os.umask(0o022)  # what root unpacks, the servers' account has to read
    begun = time.monotonic()

    def say(words: str) -> None:
        print(f"[{time.monotonic() - begun:6.1f}] {words}", file=sys.stderr, flush=True)

    try:
        fetch(say)
    except (Invalid, Unavailable, subprocess.CalledProcessError) as exc:
        print(exc, file=sys.stderr)
        return 1
    except OSError as exc:
        full = exc.errno == errno.ENOSPC
        print(
            f"{exc}\nThe disk is full: make room, then run again; what is there is kept." if full else exc,
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
