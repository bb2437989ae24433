"""What slow parsers made, by content hash and parser version, in a folder of bounded size."""

import asyncio
import json
from pathlib import Path
from typing import Any

from infra.registry.client import write
from infra.settings import Settings
from streams.documents.parsers import PARSER_VERSION

LOOK_EVERY = 20  # puts between two looks at the folder's size


class ParsedCache:
    """Files named by hash; losing one costs only time."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.folder(f"parsed/{PARSER_VERSION}")
        self._most, self._puts = settings.limits.parsed_cache_bytes, 0

    async def get(self, sha256: str, media_type: str) -> dict[str, Any] | None:
        """What was kept, None when nothing was."""
        return await asyncio.to_thread(_read, self._path(sha256, media_type))

    async def put(self, sha256: str, media_type: str, parsed: dict[str, Any]) -> None:
        """Keeps it; the oldest go when the folder is full."""
        self._puts += 1
        await asyncio.to_thread(write, self._path(sha256, media_type), json.dumps(parsed))
        if self._puts % LOOK_EVERY == 0:
            await asyncio.to_thread(_prune, self._folder, self._most)

    def _path(self, sha256: str, media_type: str) -> Path:
        kind = "".join(letter if letter.isalnum() else "-" for letter in media_type)
        return self._folder / f"{sha256}-{kind}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found


def _prune(folder: Path, most: int) -> None:
    files = sorted(((file.stat().st_mtime, file.stat().st_size, file) for file in folder.iterdir()), reverse=True)
    kept = 0
    for _, size, file in files:
        kept += size
        if kept > most:
            file.unlink(missing_ok=True)
