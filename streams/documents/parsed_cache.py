"""What slow parsers made, by content hash and parser version: for a day, in a folder of bounded size."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra.registry.client import write
from infra.settings import Settings
from streams.documents.parsers import PARSER_VERSION

LOOK_SECONDS = 600
KEPT_SECONDS = 24 * 3600  # a withdrawn document's words are nowhere after it


class ParsedCache:
    """Files named by hash; losing one costs only time."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.folder(f"parsed/{PARSER_VERSION}")
        self._most = settings.limits.parsed_cache_bytes

    async def get(self, sha256: str, media_type: str) -> dict[str, Any] | None:
        """What was kept, None when nothing was."""
        return await asyncio.to_thread(_read, self._path(sha256, media_type))

    async def put(self, sha256: str, media_type: str, parsed: dict[str, Any]) -> None:
        """Keeps it."""
        await asyncio.to_thread(write, self._path(sha256, media_type), json.dumps(parsed))

    async def run(self) -> None:
        """For ever: what is too old goes, and the oldest when there is too much."""
        while True:
            await asyncio.to_thread(prune, self._folder, self._most, time.time() - KEPT_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    def _path(self, sha256: str, media_type: str) -> Path:
        kind = "".join(letter if letter.isalnum() else "-" for letter in media_type)
        return self._folder / f"{sha256}-{kind}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found


def prune(folder: Path, most: int, since: float) -> None:
    """Removes what is older than a moment (seconds since the Unix epoch), and the oldest above `most` bytes."""
    kept = 0
    for at, size, file in sorted(_looked_at(folder), reverse=True):
        kept += size
        if kept > most or at < since:
            file.unlink(missing_ok=True)


def _looked_at(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for file in folder.iterdir():
        with suppress(FileNotFoundError):  # another worker was faster
            found = file.stat()
            yield found.st_mtime, found.st_size, file
