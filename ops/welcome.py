"""The first start: a key, a sample collection published as an outside system would, and a question about it.

`python -m ops.welcome FOLDER`, with the settings in the environment (`ops.up` calls it)
"""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

from infra.settings import Settings, read_settings
from ops.first_user import COLLECTION, first_key, introduce
from ops.installation import ROOT
from schemas.errors import Invalid, Unavailable
from turnlog import Turnlog
from turnlog.errors import TurnlogError

SAMPLES = ROOT / "samples"
QUESTION = "What happens to an answer when its worker is killed?"
WAIT_SECONDS = 180
POLL_SECONDS = 0.1


def welcome(folder: Path, settings: Settings) -> None:
    """Shows the whole path once; raises Invalid or Unavailable. Begun again after a failure it goes on."""
    key = first_key(folder / "key")
    asyncio.run(introduce(settings, key))
    url = f"http://{settings.api_host}:{settings.api_port}"
    with Turnlog.open(url, key) as server:
        begun, files = time.monotonic(), sorted(SAMPLES.iterdir())
        _publish(settings, files)
        _until_searchable(server, len(files))
        took = time.monotonic() - begun
    print(f"published {len(files)} documents to the topic documents-local: searchable after {took:.1f} s", flush=True)
    print(f'\n$ turnlog ask "{QUESTION}"\n', flush=True)
    ask = [sys.executable, "-m", "turnlog.main", "ask", QUESTION]
    if subprocess.run(ask, env={**os.environ, "TURNLOG_URL": url, "TURNLOG_KEY": key}, check=False).returncode:
        raise Unavailable("answer", "the first question got no answer; see the logs")


def _publish(settings: Settings, files: list[Path]) -> None:
    """With the example that other systems copy: it uses nothing of ours."""
    command = [
        sys.executable,
        str(ROOT / "examples/publish.py"),
        "--kafka",
        settings.kafka_bootstrap,
        "--registry",
        settings.registry_url,
        "--collection",
        COLLECTION,
        *map(str, files),
    ]
    environment = {**os.environ, "no_proxy": "127.0.0.1"}  # a proxy would look for these servers on its own machine
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable("kafka", f"examples/publish.py ended with {done.returncode}: {done.stderr[-800:]}")


def _until_searchable(server: Turnlog, count: int) -> None:
    """Waits for the receipts: every sample indexed."""
    end, why = time.monotonic() + WAIT_SECONDS, "nothing was seen of them"
    while time.monotonic() < end:
        try:
            found = list(server.documents(COLLECTION))
        except TurnlogError as exc:
            why = str(exc)  # the key is known as soon as the views have folded it
        else:
            if failed := [document for document in found if document.state == "failed"]:
                raise Invalid(f"{failed[0].key}: {failed[0].reason}")
            if sum(document.live_version is not None for document in found) >= count:
                return
            why = f"{len(found)} of {count} are known"
        time.sleep(POLL_SECONDS)
    raise Unavailable("documents", f"the samples were not searchable after {WAIT_SECONDS} s: {why}")


def main() -> int:
    """Exit code 1 with the cause."""
    try:
        welcome(Path(sys.argv[1]), read_settings())
    except (Invalid, Unavailable, TurnlogError) as exc:
        print(f"first start: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
