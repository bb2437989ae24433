"""LiteLLM's proxy and Open WebUI as they come from pip, set up as their manuals say for production."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from benchmarks.http import Connection
from benchmarks.race.processes import started
from benchmarks.race.subject import Subject
from ops.locked import locked

JSON = {"content-type": "application/json"}
LITELLM = {"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
OPENWEBUI = {
    "ENABLE_OLLAMA_API": "false",
    "OFFLINE_MODE": "true",
    "HF_HUB_OFFLINE": "1",
    "RAG_EMBEDDING_ENGINE": "openai",  # else it looks for weights
    "GLOBAL_LOG_LEVEL": "ERROR",
    "SCARF_NO_ANALYTICS": "true",
    "DO_NOT_TRACK": "true",
}


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


@asynccontextmanager
async def litellm(upstream_url: str, folder: Path, workers: int) -> AsyncIterator[Subject]:
    """The proxy with a master key, and without a database."""
    name, port, tools = f"litellm-{workers}", free_port(), locked("race-litellm")
    settings = folder / f"{name}.yaml"
    model = {"model": "openai/race", "api_base": f"{upstream_url}/v1", "api_key": "none"}
    said = {"model_list": [{"model_name": "race", "litellm_params": model}]}
    settings.write_text(json.dumps(said | {"general_settings": {"master_key": "sk-race"}}))
    command = [str(tools / "litellm"), "--config", str(settings), "--host", "127.0.0.1", "--port", str(port)]
    environment = _environment(tools, folder) | LITELLM
    with started([*command, "--num_workers", str(workers)], environment, folder / f"{name}.log") as server:
        url, headers = f"http://127.0.0.1:{port}", {"authorization": "Bearer sk-race"}
        await server.until_ready(url, "/health/liveliness")

        async def recover(completion: str) -> str:
            return await _text_at(url, f"/v1/chat/completions/{completion}", headers)

        yield Subject(name, url, "/v1/chat/completions", headers, {name: server.pid}, recover)


@asynccontextmanager
async def openwebui(upstream_url: str, folder: Path) -> AsyncIterator[Subject]:
    """With its own database of accounts and chats (SQLite), asked with the token of its first account."""
    port, tools = free_port(), locked("race-openwebui")
    environment = _environment(tools, folder) | OPENWEBUI
    environment |= {"DATA_DIR": str(folder), "WEBUI_SECRET_KEY": "race"}
    environment |= {"OPENAI_API_BASE_URL": f"{upstream_url}/v1", "OPENAI_API_KEY": "none"}
    command = [str(tools / "open-webui"), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with started(command, environment, folder / "openwebui.log") as server:
        url = f"http://127.0.0.1:{port}"
        await server.until_ready(url, "/health")
        headers = {"authorization": f"Bearer {await _sign_up(url)}"}
        await _body_at(url, "/api/models", headers)  # it knows its models once somebody has asked

        async def recover(_: str) -> str:
            return await _text_at(url, "/api/v1/chats/", headers)

        yield Subject("openwebui", url, "/api/chat/completions", headers, {"openwebui": server.pid}, recover)


def _environment(tools: Path, folder: Path) -> dict[str, str]:
    return {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(folder), "LANG": "C.UTF-8"}


async def _sign_up(url: str) -> str:
    connection = await Connection.open(url)
    person = {"name": "race", "email": "race@example.org", "password": "Race-race-1"}
    made = await connection.request("POST", "/api/v1/auths/signup", JSON, orjson.dumps(person))
    connection.close()
    return str(made.json()["token"])


async def _body_at(url: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = await Connection.open(url)
    answer = await connection.request("GET", path, headers)
    connection.close()
    return answer.status, answer.body.decode()


async def _text_at(url: str, path: str, headers: dict[str, str]) -> str:
    """What is kept there; nothing for an error or an empty list."""
    status, body = await _body_at(url, path, headers)
    return body if status == 200 and body != "[]" else ""
