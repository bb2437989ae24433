"""litellm, langchain-openai and the command `llm`, as they are, against a running API."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from ops.locked import locked
from tests.api.house import House
from tests.api.openai.test_with_the_sdk import conversations, noted_of
from tests.chatting import words
from tests.servers import Servers

SCRIPTS = Path(__file__).parent / "clients"
CLIENTS = ("litellm", "langchain", "llm")


@pytest.fixture(scope="session")
def clients() -> Path:
    """Their environment."""
    return locked("clients")


class Client:
    """One of them, started anew for each thing it does."""

    def __init__(self, name: str, bin_folder: Path, home: Path, url: str, key: str) -> None:
        self._name, self._bin, self._home, self._url, self._key = name, bin_folder, home, url, key
        self.gives_up = name != "llm"  # it waits for ever, and for nothing twice

    @asynccontextmanager
    async def running(self, do: str, prompt: str, *, model: str = "words", again: str = "") -> AsyncIterator[Process]:
        """The process; killed at the end."""
        named = {"URL": f"{self._url}/v1", "KEY": self._key, "MODEL": model, "PROMPT": prompt, "AGAIN": again}
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LANGSMITH_TRACING": "false"}
        variables = {"PATH": os.environ["PATH"], "HOME": str(self._home), "LLM_USER_PATH": str(self._home)}
        process = await asyncio.create_subprocess_exec(
            *self._command(do, prompt, model, again), stdout=PIPE, stderr=PIPE, env=variables | named | quiet
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()

    def _command(self, do: str, prompt: str, model: str, again: str) -> list[str]:
        if self._name != "llm":
            return [str(self._bin / "python"), str(SCRIPTS / f"with_{self._name}.py"), do]
        known: dict[str, object] = {"model_id": "it", "model_name": model, "can_stream": True}
        known |= {"api_base": f"{self._url}/v1", "api_key_name": "turnlog"}
        known |= {"headers": {"idempotency-key": again}} if again else {}
        (self._home / "extra-openai-models.yaml").write_text(json.dumps([known]))  # JSON is YAML
        streams = [] if do == "stream" else ["--no-stream"]
        return [str(self._bin / "llm"), "prompt", "--model", "it", "--key", self._key, "--no-log", *streams, prompt]

    async def said(self, do: str, prompt: str, *, model: str = "words", again: str = "") -> tuple[int, str, str]:
        """Its exit code, what it printed, and what it complained about."""
        async with self.running(do, prompt, model=model, again=again) as process, asyncio.timeout(90):
            out, err = await process.communicate()
            assert process.returncode is not None
            return process.returncode, out.decode().strip(), err.decode()


@pytest.fixture(params=CLIENTS)
def client(
    request: pytest.FixtureRequest, clients: Path, house: House, anna: httpx.AsyncClient, tmp_path: Path
) -> Client:
    """Each of them, with her key."""
    key = anna.headers["authorization"].removeprefix("Bearer ")
    return Client(request.param, clients, tmp_path, house.url, key)


@pytest.mark.parametrize("how", ["chat", "stream"])
async def test_an_answer_comes_whole(client: Client, how: str) -> None:
    code, said, err = await client.said(how, "words: count=20 delay_ms=2")
    assert (code, said.split()) == (0, words(20).split()), err


async def test_an_error_is_theirs_and_says_what_there_is(client: Client) -> None:
    code, _, err = await client.said("chat", "?", model="gpt")
    assert code != 0
    assert "there are answerer, words" in err


async def test_leaving_stops_the_model(client: Client, servers: Servers) -> None:
    marker = uuid4().hex
    async with client.running("stream", f"words: count=5000 delay_ms=10 marker={marker}") as process:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            assert await process.stdout.read(1)
    async with asyncio.timeout(20):
        while "cancelled after" not in noted_of(servers, f"marker={marker}"):
            await asyncio.sleep(0.1)


async def test_trying_again_after_a_time_out_is_one_turn(client: Client, anna: httpx.AsyncClient) -> None:
    before, again, prompt = await conversations(anna), uuid4().hex, "words: count=100 delay_ms=20"
    if client.gives_up:
        code, said, err = await client.said("again", prompt, again=again)
        assert (code, said.split()) == (0, ["timed", "out", *words(100).split()]), err
    else:
        async with client.running("chat", prompt, again=again):
            async with asyncio.timeout(60):
                while await conversations(anna) == before:
                    await asyncio.sleep(0.05)
        code, said, err = await client.said("chat", prompt, again=again)
        assert (code, said.split()) == (0, words(100).split()), err
    assert len(await conversations(anna) - before) == 1
