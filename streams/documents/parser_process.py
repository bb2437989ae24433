"""The process in which documents are parsed: no secrets in its environment, limits on memory, time and files.

Reads from stdin, for each document: a line of JSON {media_type, size, characters, cpu_seconds}, then the bytes.
Answers on stdout: a line with the length of its JSON, then the JSON.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from dataclasses import asdict
from typing import BinaryIO

from infra.documents import Unfit
from streams.documents.parsers import check_length, parse_bytes

PR_SET_PDEATHSIG = 1  # from linux/prctl.h


def main() -> None:
    """Parses until stdin ends."""
    memory, worker = int(sys.argv[1]), int(sys.argv[2])
    _die_with(worker)
    for kind, limit in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 32)):
        resource.setrlimit(kind, (limit, limit))
    source, answers = sys.stdin.buffer, sys.stdout.buffer
    while line := source.readline():
        _answer(json.loads(line), source, answers)


def _die_with(parent: int) -> None:
    """A worker that is killed cannot end its parsers, and one in the middle of a document would not notice."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the worker is gone")


def _answer(asked: dict[str, int | str], source: BinaryIO, answers: BinaryIO) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + int(asked["cpu_seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    try:
        parsed = parse_bytes(source.read(int(asked["size"])), str(asked["media_type"]))
        check_length(parsed, int(asked["characters"]))  # here, so that the worker never reads what is too much
        found = asdict(parsed)
    except Unfit as exc:
        found = {"code": exc.code, "reason": exc.reason}
    except MemoryError:
        found = {"code": "too-large", "reason": "it needs too much memory: publish it in parts"}
    data = json.dumps(found).encode()
    answers.write(b"%d\n" % len(data) + data)
    answers.flush()


if __name__ == "__main__":
    main()
