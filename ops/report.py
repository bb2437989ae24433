"""What a running stack tells people: addresses, what to try, and what each process takes."""

import json
import os
import shlex

from infra.local.ports import Ports
from infra.local.processes import Usage, usage_of
from infra.local.supervisor import Supervisor
from ops.installation import ROOT, Installation


def addresses(installation: Installation) -> str:
    """Where everything is, and three things to try."""
    ports = installation.local.ports
    turnlog = ".venv/bin/turnlog"
    if installation.folder != ROOT / ".turnlog":  # where the command looks for a key by itself
        turnlog = f'TURNLOG_KEY="$(cat {shlex.quote(str(installation.key_file))})" {turnlog}'
    if ports.api != Ports().api:
        turnlog = f"TURNLOG_URL=http://127.0.0.1:{ports.api} {turnlog}"
    return f"""
Turnlog is up.
  API              http://127.0.0.1:{ports.api}   (every route: /docs)
  key              {installation.key_file}   (mode 600)
  Kafka            127.0.0.1:{ports.kafka}   (inbox topic: documents-local)
  schema registry  http://127.0.0.1:{ports.registry}/apis/ccompat/v7
  logs             {installation.folder}/servers/*/log, {installation.folder}/processes/*/log

Try, in another terminal:
  {turnlog} ask "Which events does a reader of a stream see?"
  {turnlog} search "who may read a document"
  {turnlog} publish --to notes --create README.md

Ctrl-C stops everything.
"""


def addresses_json(installation: Installation) -> str:
    """Where everything is, for programs, on one line."""
    ports = installation.local.ports
    return json.dumps(
        {
            "url": f"http://127.0.0.1:{ports.api}",
            "key_file": str(installation.key_file),
            "kafka": f"127.0.0.1:{ports.kafka}",
            "registry": f"http://127.0.0.1:{ports.registry}/apis/ccompat/v7",
            "folder": str(installation.folder),
        }
    )


def table(supervisor: Supervisor) -> str:
    """Seconds to ready and memory now, process by process; `make run`: this one, and what ours fork from."""
    lines = [f"{'process':<12}{'ready s':>8}{'RSS MB':>8}{'PSS MB':>8}{'CPU s':>8}{'threads':>9}"]
    every = usage_of(os.getpid())
    rest = every
    for name, (job, usage) in supervisor.usage().items():
        lines.append(_line(name, f"{job.seconds:.1f}", usage))
        rest -= usage
    return "\n".join([*lines, _line("make run", "", rest), _line("all", "", every)])


def _line(name: str, seconds: str, usage: Usage) -> str:
    return f"{name:<12}{seconds:>8}{usage.rss_mb:>8}{usage.pss_mb:>8}{usage.cpu_seconds:>8.1f}{usage.threads:>9}"
