"""Parsing outside this process: a document that makes its parser hang, crash or swell costs only a child."""

import asyncio
import json
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from infra.documents import Unfit
from infra.settings import Limits, Settings
from infra.waiting import end
from streams.documents.parsed import Heading, Page, Parsed
from streams.documents.parsed_cache import ParsedCache

CHILDREN = 2
CHILD_DOCUMENTS = 500  # then another child takes over: parsers leak
SLOW_SECONDS = 0.1  # what took longer is kept
ANSWER_BYTES = 1024 * 1024 * 1024
ROOT = Path(__file__).parents[2]
log = structlog.get_logger()


class Parser:
    """At most two documents are parsed at once, each in a child that dies with its limits."""

    def __init__(self, limits: Limits, cache: ParsedCache) -> None:
        self._limits, self._cache = limits, cache
        self._turns = asyncio.Semaphore(CHILDREN)
        self._idle: list[_Child] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator["Parser"]:
        """Children are started when the first documents come."""
        cache = ParsedCache(settings)
        parser, pruning = cls(settings.limits, cache), asyncio.create_task(cache.run())
        try:
            yield parser
        finally:
            await end([pruning])
            for child in parser._idle:
                await child.end()

    def check_size(self, size: int) -> None:
        """Raises Unfit for more bytes than a child may hold four times over; asked before anything is read."""
        if size > self._limits.parse_memory_bytes // 4:
            raise Unfit("parse", "too-large", f"{size} bytes are too many to parse: publish it in parts")

    async def parse(self, content: bytes, media_type: str, sha256: str) -> Parsed:
        """The text of a document; raises Unfit when it has none to give. `sha256`: of the content."""
        self.check_size(len(content))
        kept = await self._cache.get(sha256, media_type)
        if kept is not None:
            return _parsed(kept)
        async with self._turns:
            began = time.monotonic()
            answer = await self._ask(content, media_type)
            if time.monotonic() - began > SLOW_SECONDS and "code" not in answer:
                await self._cache.put(sha256, media_type, answer)
        return _parsed(answer)

    async def _ask(self, content: bytes, media_type: str) -> dict[str, Any]:
        """Asks a child that is there; when that dies, which may be nothing of this document's, a new one decides."""
        if self._idle:
            with suppress(_Died):
                return await self._ask_child(self._idle.pop(), content, media_type)
        try:
            return await self._ask_child(await _Child.start(self._limits), content, media_type)
        except _Died as exc:
            raise exc.verdict from exc

    async def _ask_child(self, child: "_Child", content: bytes, media_type: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._limits.parse_seconds * 2):
                answer = await child.ask(content, media_type, self._limits)
        except TimeoutError as exc:
            raise _too_slow(self._limits) from exc
        except (EOFError, OSError) as exc:
            verdict = await child.verdict(self._limits)
            raise (verdict if verdict.code == "too-slow" else _Died(verdict)) from exc
        else:
            if child.done < CHILD_DOCUMENTS:
                self._idle.append(child)
            return answer
        finally:
            if child not in self._idle:
                await child.end()


class _Died(Exception):
    """A child ended without an answer; `verdict`: what that says of the document if it was a new one."""

    def __init__(self, verdict: Unfit) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


class _Child:
    """One parser process."""

    def __init__(self, process: Process) -> None:
        self._process, self.done = process, 0

    @classmethod
    async def start(cls, limits: Limits) -> "_Child":
        given = (limits.parse_memory_bytes, os.getpid())
        command = (sys.executable, "-m", "streams.documents.parser_process", *map(str, given))
        environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, env=environment, cwd=ROOT, start_new_session=True
        )
        return cls(process)

    async def ask(self, content: bytes, media_type: str, limits: Limits) -> dict[str, Any]:
        """What the child says; raises EOFError when it died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        head = {"media_type": media_type, "size": len(content), "characters": limits.document_characters}
        head |= {"cpu_seconds": int(limits.parse_seconds) + 1}
        self._process.stdin.write(json.dumps(head).encode() + b"\n" + content)
        await self._process.stdin.drain()
        size = await self._process.stdout.readline()
        if not size:
            raise EOFError
        answer: dict[str, Any] = json.loads(await self._process.stdout.readexactly(min(int(size), ANSWER_BYTES)))
        self.done += 1
        return answer

    async def verdict(self, limits: Limits) -> Unfit:
        """Why it died."""
        code = await self._process.wait()
        log.warning("a parser died of a document", exit_code=code)
        if -code == signal.SIGXCPU:
            return _too_slow(limits)
        return Unfit("parse", "broken", f"its parser broke down on it (exit code {code}): save it anew")

    async def end(self) -> None:
        """Ends it, whatever it does."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


def _too_slow(limits: Limits) -> Unfit:
    return Unfit("parse", "too-slow", f"it was not parsed within {limits.parse_seconds:.0f} s: publish it in parts")


def _parsed(answer: dict[str, Any]) -> Parsed:
    if "code" in answer:
        raise Unfit("parse", answer["code"], answer["reason"])
    headings = [Heading(**heading) for heading in answer["headings"]]
    return Parsed(answer["text"], answer["title"], headings, [Page(**page) for page in answer["pages"]])
