"""A tiny HTTP server to supervise: quick where a real one takes seconds, and it can be told to misbehave."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from infra.local.ports import Ports
from infra.local.probes import answers
from infra.local.server import Server
from infra.local.supervisor import Job

PROGRAM = """
import http.server, os, signal, subprocess, sys
port, manner = int(sys.argv[1]), sys.argv[2]
print("hello from", os.getpid(), flush=True)
if manner == "refuses":
    sys.exit("fatal: cannot read the colour of the sky")
if manner == "doubts":
    try:
        open(sys.argv[3], "x")
    except FileExistsError:
        sys.exit(78)
if manner == "safety":
    signal.signal(signal.SIGUSR1, lambda *_: os._exit(78))
if manner == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if manner == "helped":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def tiny(folder: Path, manner: str = "kind", port: int | None = None) -> Server:
    """A server that is kind, or of another manner.

    refuses: ends at once. safety: 78 on SIGUSR1. doubts: 78 at its second start. deaf: to SIGTERM. helped: has a child.
    """
    chosen = port or Ports.free().api
    return Server(
        name=folder.name,
        folder=folder,
        command=(sys.executable, "-c", PROGRAM, str(chosen), manner, str(folder / "was-here")),
        environment={"PATH": "/usr/bin:/bin"},
        is_ready=lambda _: answers(chosen, "/"),
        start_seconds=60,
        stop_seconds=1,
    )


def making(server: Server) -> Callable[[], Awaitable[Server]]:
    """What a job wants."""

    async def make() -> Server:
        return server

    return make


def job(server: Server, *, uses: tuple[str, ...] = ()) -> Job:
    """A job that keeps this server."""
    return Job(server.name, making(server), uses=uses)
