"""How long a start takes, and what the idle stack holds in memory: `ops.up` as people start it, then stopped again."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.installation import free_ports

START_SECONDS = 900
SECONDS = r"\[ *([\d.]+)\] "


def measure(*, download: bool) -> list[dict[str, Any]]:
    """A first start, to its answer, then a second one of the same folder; `download`: the first with an empty cache.

    PSS in MB of all processes after 15 s of idling: a page that several share counts once.
    """
    with tempfile.TemporaryDirectory(prefix="turnlog-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # servers that refuse root run as another user
        environment = dict(os.environ)
        if download:
            environment["TURNLOG_CACHE"] = str(folder / "cache")
        first = "empty cache" if download else "full cache"
        return [_start(f"first, {first}", folder, environment), _start("second", folder, environment)]


def _start(what: str, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "ops.up", "--folder", str(folder / "installation"), "--report", "--once"]
    for port in free_ports():
        command += ["--port", port]
    ran = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    if ran.returncode:
        raise SystemExit(f"the installation did not start:\n{ran.stdout[-3000:]}")
    row: dict[str, Any] = {"start": what, "ready_s": _seconds(ran.stdout, "all ready")}
    row["answered_s"] = _seconds(ran.stdout, "first question answered")
    row["stopped_in_s"] = float(_found(r"all stopped after ([\d.]+) s", ran.stdout) or 0)
    row["idle_pss_mb"] = int(_found(r"(?m)^all +\d+ +(\d+) ", ran.stdout) or 0)
    row["last_ready"] = _last_ready(ran.stdout)
    return row


def _last_ready(said: str) -> str:
    """What was ready last."""
    ready = re.findall(SECONDS + r"(\w+): ready", said)
    return str(ready[-1][1]) if ready else ""


def _seconds(said: str, what: str) -> float | None:
    found = _found(SECONDS + re.escape(what), said)
    return float(found) if found else None


def _found(pattern: str, said: str) -> str | None:
    found = re.search(pattern, said)
    return found[1] if found else None
