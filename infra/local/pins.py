"""The files the servers are made of: each pinned by coordinates, SHA-256 and size in `artifacts.json` (`make lock`)."""

import hashlib
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.parts import Making
from infra.local.progress import Progress
from schemas.errors import Unavailable

FILE = Path(__file__).with_name("artifacts.json")
TRIES = 4


@dataclass(frozen=True)
class Pin:
    """One file of a Maven repository: group:artifact:version:classifier:packaging."""

    id: str
    sha256: str
    size: int


def pinned(part: str) -> tuple[Pin, ...]:
    """The files of one part."""
    return tuple(Pin(**item) for item in json.loads(FILE.read_text())[part])


def key_of(*what: object) -> str:
    """A name for exactly this content."""
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def artifact_of(coordinates: str, folder: Path, progress: Progress | None = None) -> Any:
    """jgo's artifact, kept below `folder`. Imported here: only a run that downloads pays for it."""
    from jgo.maven import MavenContext, PythonResolver

    group, name, version, *rest = coordinates.rstrip("!").split(":")
    classifier, packaging = rest or ("", "jar")
    context = MavenContext(repo_cache=folder, timeout=60, resolver=PythonResolver(progress_callback=progress))
    return context.project(group, name).at_version(version).artifact(classifier=classifier, packaging=packaging)


def download(pin: Pin, folder: Path, progress: Progress, say: Callable[[str], None]) -> Path:
    """The verified file; raises Unavailable. jgo checks no SHA-256, writes to the final name, never retries: we do."""
    import requests

    artifact, why = artifact_of(pin.id, folder, progress), ""
    for attempt in range(TRIES):
        try:
            path = Path(artifact.resolve())
            if sha256_of(path) == pin.sha256:
                return path
            why = "wrong SHA-256 (cut off, or not the pinned file)"
        except requests.exceptions.SSLError as exc:
            why = f"the registry's certificate is not trusted (set REQUESTS_CA_BUNDLE=FILE?): {exc}"[:300]
        except requests.ConnectionError:
            why = "no connection to the package registry (no network?)"
        except (requests.RequestException, RuntimeError) as exc:
            why = f"{type(exc).__name__}: {exc}"[:200]
        Path(artifact.cached_path).unlink(missing_ok=True)
        if attempt < TRIES - 1:
            say(f"{pin.id}: {why}; trying again")
            time.sleep(2.0**attempt)
    raise Unavailable("package registry", f"cannot fetch {pin.id}: {why}")


def download_all(part: str, making: Making) -> list[Path]:
    """All files of a part, four at a time; raises Unavailable."""
    folder = making.cache / "downloads"
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda pin: download(pin, folder, making.progress, making.say), pinned(part)))
