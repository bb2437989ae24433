"""Read your writes: a write says where it lies on the log, and a read may ask for views that have folded it."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from api.problems import Problem, unavailable
from api.services import Services
from infra.kafka.publisher import settled
from infra.kafka.records import Position
from infra.postgres.freshness import Offsets
from schemas.event import Event
from topics.catalogue import OURS, Topic

POSITION = "x-turnlog-position"  # of answers: topic/partition:offset, several apart by commas
AFTER = "x-turnlog-after"  # of requests (or `?after=`): answer from views that have folded these
PLACE = re.compile(r"([a-z-]{1,64})/(\d{1,4}):(\d{1,18})")
NAMES = frozenset(topic.name for topic in OURS)
PLACES = 16


@dataclass(frozen=True)
class Written:
    """Where a write lies, and whether the views show it already."""

    places: tuple[tuple[str, Position], ...]
    folded: bool

    @property
    def header(self) -> str:
        """The value of `x-turnlog-position`."""
        return ",".join(f"{topic}/{position}" for topic, position in self.places)

    def answer(self, body: Any = None, status: int = 200) -> Response:
        """The answer to a write: its body, or 202 when the views do not show it yet."""
        head = {POSITION: self.header}
        if not self.folded:
            pending = {"status": "pending", "position": self.header}
            return Response(orjson.dumps(pending | (_plain(body) or {})), 202, head, "application/json")
        if body is None:
            return Response(None, 204, head)
        return Response(orjson.dumps(_plain(body)), status, head, "application/json")


async def write(services: Services, topic: Topic, key: str, *events: Event) -> Written:
    """Publishes events of one key in order, and waits until the views show them, 2 s at most.

    Raises a 503 problem when the broker does not answer in 10 s: then the outcome is unknown.
    """
    limits = services.settings.limits
    try:
        async with asyncio.timeout(limits.request_unknown_seconds):
            sent = [await services.publisher.send(topic, key, event) for event in events]
            places = tuple([(topic.name, await settled(one)) for one in sent])
    except TimeoutError as exc:
        raise unavailable("kafka", "outcome unknown, it may still be done") from exc
    return await folded(services, places)


async def folded(services: Services, places: Sequence[tuple[str, Position]]) -> Written:
    """Waits until the views show some writes, 2 s at most."""
    seconds = services.settings.limits.read_your_writes_seconds
    return Written(tuple(places), await services.freshness.wait_for_all(_ends(places), seconds))


async def wait_if_asked(services: Services, request: Request) -> None:
    """Waits for what the request wants to see folded; raises a 202 problem when it is not within 2 s."""
    asked = request.headers.get(AFTER) or request.query_params.get("after")
    if asked and not (written := await folded(services, _parsed(asked))).folded:
        raise Problem(
            202,
            "pending",
            f"the views have not folded {written.header} yet: ask again",
            headers={"retry-after": "1"},
            position=written.header,
        )


def _parsed(asked: str) -> list[tuple[str, Position]]:
    found = [PLACE.fullmatch(one.strip()) for one in asked.split(",")]
    places = [(one[1], Position(int(one[2]), int(one[3]))) for one in found if one and one[1] in NAMES]
    if len(places) != len(found) or len(places) > PLACES:
        raise Problem(400, "invalid", f"{AFTER} is not what {POSITION} said: topic/partition:offset, apart by commas")
    return places


def _ends(places: Sequence[tuple[str, Position]]) -> Offsets:
    ends: Offsets = {}
    for topic, position in places:
        ends[topic, position.partition] = max(ends.get((topic, position.partition), 0), position.offset + 1)
    return ends


def _plain(body: Any) -> Any:
    return TypeAdapter(type(body)).dump_python(body, mode="json")
