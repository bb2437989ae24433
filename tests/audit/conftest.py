"""A house where Anna asked: what happened there is on the log."""

import os
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from infra.settings import Settings
from tests.asking import Asking, ask, open_asking
from tests.chatting import conversation
from tests.environment import environment


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """What it printed."""
        return self.out.decode()


@dataclass
class Audited:
    """Anna's conversation with one turn, and the operator's command line."""

    asking: Asking
    conversation_id: str
    turn_id: str

    @property
    def settings(self) -> Settings:
        """Of the installation."""
        return self.asking.settings

    async def turnlog(self, *words: str, **more: str) -> Ran:
        """The command, which knows the servers from its environment, and no database: the password is wrong."""
        known = environment(self.settings, TURNLOG_POSTGRES_PORT="9", **more)
        process = await create_subprocess_exec(
            str(Path(sys.executable).with_name("turnlog")),
            *words,
            stdout=PIPE,
            stderr=PIPE,
            env=known | {"COLUMNS": "200"},
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out, err.decode())

    async def key(self, *scopes: str) -> httpx.AsyncClient:
        """An auditor's client."""
        return await self.asking.house.user("otto", *scopes)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def audited(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Audited]:
    """Nothing else happens there."""
    assert "TURNLOG_KAFKA_BOOTSTRAP" not in os.environ
    async with open_asking(settings, tmp_path_factory.mktemp("models")) as asking:
        where = await conversation(asking.anna)
        yield Audited(asking, where, await ask(asking, where, "Which pump is in hall 3, and what is the roof made of?"))
