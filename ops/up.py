"""Brings the whole local stack up, keeps it up, and stops it in order on Ctrl-C or SIGTERM.

`python -m ops.up [--folder .turnlog] [--port NAME=NUMBER ...] [--report] [--json] [--once]`      (`make run`)
"""

import signal

if __name__ == "__main__":  # nothing is started yet: until `Stopping` hears it, Ctrl-C ends this without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TextIO

from infra.local.ports import Ports
from infra.local.server import WouldNotStart, cure
from infra.triton.local import check_python
from ops.child import child
from ops.installation import Installation
from ops.report import addresses, addresses_json, table
from ops.stack import Stack
from schemas.errors import Invalid, Unavailable

SETTLE_SECONDS = 15


def tell(words: str, where: TextIO) -> None:
    """Prints. Its reader may be gone, a terminal or a pipe: that must not keep the servers from being stopped."""
    try:
        print(words, file=where, flush=True)
    except OSError:
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - what is left in the buffer goes there, too
            os.dup2(nowhere.fileno(), where.fileno())


class Console:
    """Says what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def __call__(self, words: str) -> None:
        tell(f"[{self.seconds():6.1f}] {words}", sys.stderr)

    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._begun


class Stopping:
    """Turns signals into an event; asked a second time, everything is killed at once."""

    def __init__(self, stack: Stack) -> None:
        self.asked = asyncio.Event()
        self._stack, self._first = stack, 0.0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        now = time.monotonic()
        if self.asked.is_set() and now - self._first > 1:  # make and `timeout` deliver one request twice
            self._stack.supervisor.kill()
        self._first = self._first or now
        self.asked.set()


async def up(installation: Installation, say: Console, *, report: bool, json: bool, once: bool) -> int:
    """Runs until told to stop, or until something does not come up; gives the exit code."""
    stack = Stack(installation, say)
    await stack.check()
    stopping = Stopping(stack)
    run = asyncio.create_task(stack.run())
    greet = asyncio.create_task(_greet(stack, say, report=report, json=json))
    asked = asyncio.create_task(stopping.asked.wait())
    try:
        await asyncio.wait({run, greet, asked}, return_when=asyncio.FIRST_COMPLETED)
        if greet.done() and greet.exception() is None and not once:
            await asyncio.wait({run, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        code = await _end(stack, say, run, greet, asked)
    return code


async def _end(stack: Stack, say: Console, *tasks: asyncio.Task[object]) -> int:
    failure = next(
        (task.exception() for task in tasks if task.done() and not task.cancelled() and task.exception()), None
    )
    begun = time.monotonic()
    try:
        if failure:
            say(f"{failure}")
        say("stopping")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        await stack.stop()
    say(f"all stopped after {time.monotonic() - begun:.1f} s")
    return 1 if failure else 0


async def _greet(stack: Stack, say: Console, *, report: bool, json: bool) -> None:
    """Once everything is ready: the first time with a sample collection and an answer, always with addresses."""
    await stack.until_ready()
    say(f"all ready (load {os.getloadavg()[0]:.1f})")
    await _welcome(stack.installation, say, sys.stderr if json else sys.stdout)
    tell((addresses_json if json else addresses)(stack.installation), sys.stdout)
    if report:
        await asyncio.sleep(SETTLE_SECONDS)
        tell(table(stack.supervisor), sys.stdout)


async def _welcome(installation: Installation, say: Console, where: TextIO) -> None:
    """Once for each installation, and until it worked."""
    done = installation.folder / "welcomed"
    if done.exists():
        return
    environment = {**os.environ, **installation.settings()}
    async with child("ops.welcome", str(installation.folder), environment=environment, speaks=where) as welcome:
        if await welcome.wait():
            raise Unavailable("first start", "the sample collection was not answered for (see above)")
    done.touch()
    say("first question answered")


def main() -> int:
    """Exit code 0 when it was told to stop, 1 when something did not come up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, default=Path(".turnlog"), help="of this installation (default: .turnlog)"
    )
    parser.add_argument("--port", action="append", default=[], metavar="NAME=NUMBER", help="another port for a server")
    parser.add_argument("--report", action="store_true", help="print ready times and memory of each process")
    parser.add_argument("--json", action="store_true", help="print the addresses as JSON, for programs")
    parser.add_argument("--once", action="store_true", help="stop again when everything was ready")
    arguments = parser.parse_args()
    os.umask(0o022)  # what root unpacks, the servers' account has to read; private files are made private one by one
    if None in (sys.stdin, sys.stdout, sys.stderr):
        from turnlog.standard_streams import open_closed_ones  # only then: the client takes 8 MB

        open_closed_ones()
    say = Console()
    try:
        check_python()
        installation = Installation.at(arguments.folder, Ports.chosen(os.environ, arguments.port))
        with installation.alone():
            return asyncio.run(up(installation, say, report=arguments.report, json=arguments.json, once=arguments.once))
    except (Invalid, Unavailable, WouldNotStart) as exc:
        tell(str(exc), sys.stderr)
    except OSError as exc:
        tell(f"{arguments.folder}: {exc}\n{cure(str(exc))}", sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
