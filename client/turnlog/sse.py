"""Server-sent events out of bytes (WHATWG HTML, section 9.2), as far as a client of ours needs them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerEvent:
    """One event. `last_id` is what to send as Last-Event-ID to go on after it."""

    name: str
    data: dict[str, Any]
    last_id: str


class Parser:
    """Takes a body as it comes, wherever the network cuts it; an event cut off in the middle is dropped."""

    def __init__(self, last_id: str = "") -> None:
        self._last_id, self._rest = last_id, b""
        self._name, self._data = "message", list[str]()

    def take(self, chunk: bytes) -> list[ServerEvent]:
        """The events that end here. Only LF and CR LF end a line: U+2028 and its like are letters of JSON."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        return [event for line in whole for event in self._line(line.removesuffix(b"\r").decode())]

    def _line(self, line: str) -> Iterator[ServerEvent]:
        if not line:
            if self._data:
                yield ServerEvent(self._name, json.loads("\n".join(self._data)), self._last_id)
            self._name, self._data = "message", []
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        elif field == "id":
            self._last_id = value
