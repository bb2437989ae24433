"""A turn's events as they come: a cut connection is taken up again where it broke, at any replica."""

import time
from collections.abc import Iterator
from typing import Any

import httpx

from turnlog.errors import Problem, TurnlogError, Unreachable
from turnlog.http import Http, passes, pause_seconds, unreachable
from turnlog.model import Delta, Ended, Passage, Passages, Progress, Restart, StreamItem, Waiting, read
from turnlog.sse import ServerEvent, lines, parse

ALIVE_SECONDS = 15.0  # a connection that held longer was kept up by the server's pings


def follow(http: Http, turn_id: str, last_id: str = "") -> Iterator[StreamItem]:
    """Everything from the start (or after `last_id`) to `Ended`; raises Problem, or Unreachable after long silence."""
    heard, tried = time.monotonic(), 0
    while True:
        connecting = time.monotonic()
        try:
            for event in _connected(http, turn_id, last_id):
                last_id, heard, tried = event.last_id, time.monotonic(), 0
                if (item := item_of(event)) is not None:
                    yield item
                if isinstance(item, Ended):
                    return
            failure: TurnlogError = Unreachable(f"The stream of turn {turn_id} ended too early")
        except httpx.TransportError as exc:
            failure = unreachable(http.pool, exc)
        except Problem as problem:
            if not passes(problem):
                raise
            failure = problem
        if time.monotonic() - connecting > ALIVE_SECONDS:
            heard, tried = time.monotonic(), 0
        pause = pause_seconds(tried)
        tried += 1
        if time.monotonic() + pause - heard > http.give_up_seconds:
            raise failure
        time.sleep(pause)


def _connected(http: Http, turn_id: str, last_id: str) -> Iterator[ServerEvent]:
    headers = {"accept": "text/event-stream"} | ({"last-event-id": last_id} if last_id else {})
    with http.pool.stream("GET", f"/v1/turns/{turn_id}/events", headers=headers) as answer:
        if not answer.is_success:
            answer.read()
            raise Problem.of(answer)
        yield from parse(lines(answer.iter_bytes()), last_id)


def item_of(event: ServerEvent) -> StreamItem | None:
    """What an event means; None for events of a newer server."""
    data: dict[str, Any] = event.data
    match event.name:
        case "delta":
            return Delta(text=data["text"])
        case "passages":
            return Passages(passages=tuple(passage_of(told) for told in data["passages"]))
        case "waiting":
            return Waiting(server=data["server"])
        case "restart":
            return Restart()
        case "queued" | "retrieving":
            return Progress(stage=event.name)
        case "ended":
            return read(Ended, data)
    return None


def passage_of(told: dict[str, Any]) -> Passage:
    """A passage as a stream or a search tells it."""
    return read(Passage, told | {"heading": tuple(told.get("heading") or ())})


class Answer:
    """What has come of an answer so far; `take` every item, in order."""

    def __init__(self) -> None:
        self.text = ""
        self.passages: tuple[Passage, ...] = ()
        self.ended: Ended | None = None

    def take(self, item: StreamItem) -> None:
        """Takes an item; raises TurnlogError when the end says that characters are missing."""
        match item:
            case Delta(text=text):
                self.text += text
            case Passages(passages=passages):
                self.passages = passages
            case Restart():
                self.text, self.passages = "", ()
            case Ended(length=length):
                if length != len(self.text):
                    raise TurnlogError(
                        f"The answer has {length} characters, {len(self.text)} arrived", "Ask for it again."
                    )
                self.ended = item

    @property
    def cited(self) -> tuple[Passage, ...]:
        """The passages that the text names, in the order of their numbers."""
        return tuple(passage for passage in self.passages if f"[{passage.number}]" in self.text)
