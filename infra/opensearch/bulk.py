"""Writes of many documents in few requests: what comes together goes together, each item's result to who sent it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.opensearch.client import JSON_LINES, PASSING, Client
from schemas.errors import Invalid, Unavailable

GATHER_SECONDS = 0.03
MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Action:
    """An item of a bulk request: its line of JSON, and the document's line for a put."""

    line: bytes
    document: bytes = b""

    @property
    def lines(self) -> bytes:
        """As it stands in the request."""
        return b"%s\n%s\n" % (self.line, self.document) if self.document else self.line + b"\n"


@dataclass
class _Group:
    actions: list[Action] = field(default_factory=list)
    size: int = 0
    done: "asyncio.Future[list[Any]]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Bulk:
    """Gathers for up to 30 ms while requests are under way; a lone write goes at once. Several requests may run."""

    def __init__(self, client: Client, index: str, refresh: str) -> None:
        self._client, self._path, self._refresh = client, f"/{index}/_bulk", refresh
        self._open: _Group | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def do(self, actions: Sequence[Action]) -> None:
        """Returns when every item is done; raises Unavailable or Invalid when one of them is not."""
        parts: list[tuple[_Group, int, int]] = []
        for action in actions:
            group = self._group(len(action.lines))
            if parts and parts[-1][0] is group:
                parts[-1] = (group, parts[-1][1], parts[-1][2] + 1)
            else:
                parts.append((group, len(group.actions), 1))
            group.actions.append(action)
        for group, first, count in parts:
            for item in (await asyncio.shield(group.done))[first : first + count]:
                _check(item)

    def _group(self, size: int) -> _Group:
        """The group that takes the next action; a full one goes off by itself."""
        group = self._open
        if group is None or group.size + size > MOST_BYTES:
            group = self._open = _Group()
            task = asyncio.create_task(self._send(group, GATHER_SECONDS if self._running else 0))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        group.size += size
        return group

    async def _send(self, group: _Group, wait_seconds: float) -> None:
        await asyncio.sleep(wait_seconds)
        if self._open is group:
            self._open = None
        body = b"".join(action.lines for action in group.actions)
        try:
            answer = await self._client.ask("POST", self._path, body, JSON_LINES, refresh=self._refresh)
            items = [item for item, _ in zip(answer["items"], group.actions, strict=True)]
            group.done.set_result([next(iter(item.values())) for item in items])
        except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
            known = isinstance(exc, Unavailable | Invalid)
            group.done.set_exception(exc if known else Unavailable("opensearch", f"an answer of another form: {exc!r}"))
            group.done.exception()  # whoever waits raises it; when nobody does any more, it is no news


def _check(item: dict[str, Any]) -> None:
    status, error = int(item["status"]), item.get("error")
    if error is None:  # also of a delete of what is gone already
        return
    said = f"{item.get('_id')}: {status} {str(error)[:500]}"
    if status in PASSING:
        raise Unavailable("opensearch", said)
    raise Invalid(f"opensearch refuses a passage: {said}")
