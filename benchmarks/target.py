"""The installation that is measured: a running `make run`, found by its folder."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from benchmarks.http import Connection
from infra.local.processes import usage_of
from infra.settings import Settings
from ops.at_servers import variables

PATH_OF_A_TURN = ("api", "chat", "views", "kafka", "postgres")


@dataclass(frozen=True)
class Target:
    """Addresses, the key's header, the settings of its processes, and their pids."""

    api_url: str
    triton_url: str
    headers: dict[str, str]
    settings: Settings
    pids: dict[str, int]

    @classmethod
    def found(cls, folder: Path) -> "Target":
        """The installation that runs on a folder; raises SystemExit when none does."""
        if not (folder / "env").exists():
            raise SystemExit(f"no installation in {folder}: start one with `make run`, then try again")
        os.environ.update(variables(folder / "env"))
        settings = Settings()
        key = (folder / "key").read_text().strip()
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        url = f"http://{settings.api_host}:{settings.api_port}"
        return cls(url, settings.triton_http, headers, settings, _pids(folder))

    def cpu_seconds(self, names: tuple[str, ...] = PATH_OF_A_TURN) -> dict[str, float]:
        """CPU seconds so far of each process tree, broker and database among them."""
        return {name: usage_of(self.pids[name]).cpu_seconds for name in names}

    async def with_own_key(self) -> "Target":
        """The same, asked with a new key whose limits no load here reaches: it measures the path, not the limits."""
        limits = {"requests_per_minute": 10_000_000, "turns_in_flight": 100_000}
        wanted = {"name": "bench", "scopes": ["chat", "search", "publish"], **limits}
        made = await self.ask("POST", "/v1/keys", wanted)
        return replace(self, headers=self.headers | {"authorization": f"Bearer {made['key']}"})

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the API, its answer as JSON; raises RuntimeError for a status of 400 and above."""
        connection = await Connection.open(self.api_url)
        try:
            sent = b"" if body is None else orjson.dumps(body)
            return (await connection.request(method, path, self.headers, sent)).json()
        finally:
            connection.close()


def _pids(folder: Path) -> dict[str, int]:
    return {path.parent.name: int(path.read_text().split()[0]) for path in folder.glob("*/*/pid")}
