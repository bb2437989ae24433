"""A helper process of ours: ended with everything below it when its block is left."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TextIO

from infra.local.processes import kill_group
from ops.installation import ROOT


@asynccontextmanager
async def child(
    module: str, *arguments: str, environment: Mapping[str, str], all_in_one: bool = False, speaks: TextIO | None = None
) -> AsyncIterator[Process]:
    """Runs `python -m module`. It `speaks` there, else its stdout is read, `all_in_one` with stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        cwd=ROOT,
        env=dict(environment),
        stdin=DEVNULL,
        stdout=speaks or PIPE,
        stderr=STDOUT if all_in_one else None,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            kill_group(process.pid)
            await process.wait()
