"""The operator's command line, as a process of its own."""

import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from pathlib import Path

from infra.settings import Settings
from tests.environment import environment


async def turnlog(settings: Settings, *words: str) -> tuple[int, str, str]:
    """Runs a command on an installation: exit code, what it printed, and what it said on stderr."""
    process = await create_subprocess_exec(
        str(Path(sys.executable).with_name("turnlog")),
        *words,
        stdout=PIPE,
        stderr=PIPE,
        env=environment(settings, COLUMNS="200"),
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()
