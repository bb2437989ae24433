"""Server-sent events out of lines (WHATWG HTML, section 9.2), as far as a client of ours needs them."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServerEvent:
    """One event. `last_id` is what to send as Last-Event-ID to go on after it."""

    name: str
    data: dict[str, Any]
    last_id: str


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Text lines of a body. Only LF and CR LF end one: U+2028 and its like are letters of JSON (httpx splits there)."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.removesuffix(b"\r").decode() for line in whole)


def parse(lines: Iterable[str], last_id: str = "") -> Iterator[ServerEvent]:
    """Events in order; comments and events without data give nothing. An event cut off in the middle is dropped."""
    name, data = "message", list[str]()
    for line in lines:
        if not line:
            if data:
                yield ServerEvent(name, json.loads("\n".join(data)), last_id)
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            last_id = value
