"""A whole installation of our own processes on real servers: who asks, who reads, and what can be said of it after."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from audit.verify.verify import Verify
from infra.kafka.log import Log
from infra.kafka.publisher import Publisher
from infra.objects import Objects
from infra.postgres.freshness import Freshness
from infra.registry.client import RegistryClient
from infra.settings import Settings
from schemas.answers import AnswerRecorded
from schemas.codec import Codec
from schemas.event import uuid7
from tests.api.house import FOLDED_SECONDS, House, superuser, with_limits
from tests.faults.turns.processes import Processes, until
from tests.faults.turns.reader import Reader
from tests.kafka_reading import all_of
from topics.catalogue import ANSWERS, OURS

MODELS = """
default: words
providers: {{triton: {{kind: triton}}}}
models:
  words: {{provider: triton, model: words, about: Paced., retrieval: off, running: {running}}}
  reading: {{provider: triton, model: words, about: Paced., retrieval: {{collections: all, passages: 8}}, running: 256}}
"""
CHAT = {"chat": "chat-1"}
BREAKING = "tests.faults.turns.breaking_worker"
ASK_SECONDS = 100.0
VIEWED = """
select turn_id, attempt, status, convert_from(coalesce("text", ''), 'utf8') from views.answers
where turn_id = any(%s)"""


@dataclass(frozen=True)
class Recorded:
    """A turn's records on the log: `copies` of how many `distinct` bytes; `event`: the first."""

    event: AnswerRecorded
    text: str
    partition: int
    offset: int
    copies: int
    distinct: int


@dataclass
class Home:
    """API replicas, a views worker, chat workers; and a person with a key that may ask a thousand things at once."""

    settings: Settings
    processes: Processes
    codec: Codec
    http: httpx.AsyncClient
    replicas: Sequence[str]
    house: House
    orders: Path
    asked: dict[str, int] = field(default_factory=dict)

    @property
    def urls(self) -> list[str]:
        """Of all replicas."""
        return [self.processes.url(name) for name in self.replicas]

    def start_api(self, name: str) -> None:
        """Starts a replica."""
        self.processes.start(name, "api")

    def start_views(self) -> None:
        """Starts the views worker."""
        self.processes.start("views", "streams.views")

    def start_chat(self, name: str = "chat", *, instance: str = "chat-1", **more: str) -> None:
        """Starts a chat worker, restarted in place unless `instance` is empty. It obeys orders to break."""
        self.processes.start(name, BREAKING, TURNLOG_INSTANCE=instance, BREAKING_ORDERS=str(self.orders), **more)

    def break_at(self, point: str, how: str = "SIGKILL") -> None:
        """The next chat worker that reaches this point gets a signal there."""
        half = self.orders.with_suffix(".half")
        half.write_text(f"{point} {how}")
        half.rename(self.orders)

    async def conversation(self) -> str:
        """A new conversation."""
        return str((await self._post("/v1/conversations", {}, 201))["conversation_id"])

    async def ask(self, words: int = 30, delay_ms: int = 10, conversation: str = "", model: str = "words") -> str:
        """A turn that was accepted, by whichever replica is there; gives its id."""
        conversation = conversation or await self.conversation()
        body = {"question": f"words: count={words} delay_ms={delay_ms}", "model": model}
        turn_id = str((await self._post(f"/v1/conversations/{conversation}/turns", body, 202))["turn_id"])
        self.asked[turn_id] = words
        return turn_id

    async def stop(self, turn_id: str) -> None:
        """Somebody stops a turn."""
        await self._post(f"/v1/turns/{turn_id}/stop", {}, 202)

    async def _post(self, path: str, body: Mapping[str, object], status: int) -> dict[str, object]:
        """Asks each replica until one says yes: the same key makes it once."""
        head, at = {"idempotency-key": uuid7()}, len(self.asked)
        async with asyncio.timeout(ASK_SECONDS):
            while True:
                at += 1
                try:
                    answer = await self.http.post(self.urls[at % len(self.urls)] + path, json=body, headers=head)
                except httpx.TransportError:
                    await asyncio.sleep(0.1)
                    continue
                if answer.status_code == status:
                    said: dict[str, object] = answer.json()
                    return said
                assert answer.status_code >= 500 or answer.status_code == 409, answer.text
                await asyncio.sleep(0.2)

    def reader(self, turn_id: str, *, first: int = 0, leaves_after: int = 0) -> Reader:
        """Somebody who follows a turn, at replica number `first` to begin with."""
        return Reader(turn_id, self.urls[first:] + self.urls[:first], self.http, leaves_after=leaves_after)

    async def records(self) -> dict[str, Recorded]:
        """Every turn that has a record."""
        found: dict[str, list[tuple[AnswerRecorded, bytes, int, int]]] = defaultdict(list)
        objects = Objects.open(self.settings)
        for one in await all_of(self.settings, ANSWERS):
            event = await self.codec.decode(ANSWERS.name, ANSWERS.events, one.value, dict(one.headers))
            assert isinstance(event, AnswerRecorded)
            found[event.turn_id].append((event, one.value, one.partition, one.offset))
        return {
            turn_id: Recorded(
                same[0][0],
                (await objects.read(same[0][0].text)).decode(),
                *same[0][2:],
                copies=len(same),
                distinct=len({value for _, value, _, _ in same}),
            )
            for turn_id, same in found.items()
        }

    def viewed(self, turn_ids: Iterable[str]) -> dict[str, tuple[int, str, str]]:
        """Attempt, status and text of each turn in the views."""
        with superuser(self.settings) as db:
            rows = db.execute(VIEWED, [list(turn_ids)]).fetchall()
        return {turn_id: (attempt, status, text) for turn_id, attempt, status, text in rows}

    async def wrong(self, readers: Sequence[Reader], statuses: Sequence[str] = ("completed",)) -> list[str]:
        """What breaks a promise: not exactly one record, a view or a reader that differs from it, words missing; and
        whatever `turnlog verify` says of the whole log.
        """
        turn_ids = {reader.turn_id for reader in readers}
        try:
            await until(lambda: self.viewed(turn_ids).keys() == turn_ids, 90)
        except AssertionError:
            said = self.processes.output("views")[-2000:]
            raise AssertionError(f"the views do not have all records; their log ends\n{said}") from None
        records, viewed = await self.records(), self.viewed(turn_ids)
        report = await Verify(Log(self.settings), self.codec, self.codec._registry).run()
        unverified = [f"{one.place}: {one.says}" for check in report.checks for one in check.failures]
        return unverified + [
            f"{reader.turn_id}: {problem}"
            for reader in readers
            for problem in self._problems(reader, records[reader.turn_id], viewed[reader.turn_id], statuses)
        ]

    def _problems(
        self, reader: Reader, record: Recorded, view: tuple[int, str, str], statuses: Sequence[str]
    ) -> Iterable[str]:
        event = record.event
        yield from reader.wrong
        if record.distinct != 1:
            yield f"{record.distinct} different records"
        if view != (event.attempt, event.status, record.text):
            yield f"the view has {view[:2]}, the record is {event.attempt, event.status}"
        if event.status not in statuses:
            yield f"it is {event.status}: {event.reason}"
        if reader.ended and (reader.ended["status"], reader.text) != (event.status, record.text):
            yield f"a reader was told {reader.ended}, {len(reader.text)} characters of {event.length}"
        if event.status == "completed" and record.text != said(self.asked[reader.turn_id]):
            yield f"the text is not the model's: {record.text[:40]!r}... {event.length} characters"


def said(words: int) -> str:
    """What the model says when it is asked for so many words."""
    return "".join(f"w{number} " for number in range(1, words + 1))


@asynccontextmanager
async def open_home(
    settings: Settings,
    folder: Path,
    *,
    replicas: Sequence[str] = ("api-1", "api-2"),
    chats: Mapping[str, str] = CHAT,
    running: int = 256,
) -> AsyncIterator[Home]:
    """Views and API replicas run and are ready; chat workers, with their static ids, are started."""
    models = folder / "models.yaml"
    models.write_text(MODELS.format(running=running))
    limits = {"consumer_session_seconds": 6, "drain_seconds": 10, "read_your_writes_seconds": FOLDED_SECONDS}
    settings = with_limits(settings.model_copy(update={"models_file": models}), **limits)
    async with AsyncExitStack() as stack:
        processes = Processes(settings, folder)
        stack.callback(processes.close)
        processes.start("views", "streams.views")  # it first: all others wait for it
        for name in replicas:
            processes.start(name, "api")
        registry = RegistryClient(settings)
        stack.push_async_callback(registry.close)
        await registry.load(OURS)
        codec = Codec(registry)
        publisher = await stack.enter_async_context(Publisher.open(settings, codec))
        freshness = await stack.enter_async_context(Freshness.open(settings, "api"))
        await processes.ready("views")
        house = House(settings, processes.url(replicas[0]), publisher, freshness, stack)
        caller = await house.user("ada", turns_in_flight=5000)
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                headers={"authorization": caller.headers["authorization"]},
                timeout=httpx.Timeout(30, pool=None),
                limits=httpx.Limits(max_connections=None),
                trust_env=False,
            )
        )
        home = Home(settings, processes, codec, http, replicas, house, folder / "orders")
        for name, instance in chats.items():
            home.start_chat(name, instance=instance)
        await processes.ready(*replicas)
        yield home
