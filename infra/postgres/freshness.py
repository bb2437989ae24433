"""How far the views have folded the log: told by NOTIFY, waited for by readers, checked before a process is ready."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import psycopg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.postgres.pool import conninfo
from infra.settings import Role, Settings
from infra.waiting import backoff_seconds, end, until_available
from schemas.errors import Unavailable
from topics.catalogue import ACCESS_CHANGES, DOCUMENTS, Topic

CHANNEL = "views"
FOLDED = re.compile(r"([a-z-]+)/(\d+):(\d+)")
log = structlog.get_logger()
Offsets = dict[tuple[str, int], int]


def notice(offsets: Offsets) -> str:
    """A NOTIFY payload: `topic/partition:next_offset`, apart by spaces; 108 partitions stay far below 8,000 bytes."""
    return " ".join(f"{topic}/{partition}:{offset}" for (topic, partition), offset in offsets.items())


class Freshness:
    """The views' offsets, at most one NOTIFY old; one connection a process."""

    def __init__(self) -> None:
        self._folded: Offsets = {}
        self._highest: Offsets = {}
        self.went_back = False  # the database was lost, and the views have not yet folded again what they once had
        self._changed = asyncio.Event()
        self._listeners: list[Callable[[frozenset[str]], None]] = []

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, role: Role) -> AsyncIterator["Freshness"]:
        """Listens for as long as it is open, through restarts of the database; returns once it has read the offsets."""
        freshness = cls()
        first = asyncio.Event()
        task = asyncio.create_task(freshness._follow(conninfo(settings, role), first))
        try:
            await first.wait()
            yield freshness
        finally:
            await end([task])

    def on_change(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Calls `listener` with the topics that were folded; after an interruption with all of them."""
        self._listeners.append(listener)

    def offsets(self, topics: Iterable[Topic]) -> Offsets:
        """The next offset to fold of each partition of some topics; 0 where nothing was heard of one yet."""
        places = [(topic.name, number) for topic in topics for number in range(topic.partitions)]
        return {place: self._folded.get(place, 0) for place in places}

    async def wait_for_all(self, ends: Offsets, seconds: float | None) -> bool:
        """Waits until every partition is folded up to its end; False when it is not within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while self.behind(ends):
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def changed(self, seconds: float) -> None:
        """Returns when something more was folded, or after `seconds`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)

    def behind(self, ends: Offsets) -> int:
        """How many records are missing to reach some ends."""
        return sum(max(0, end - self._folded.get(place, 0)) for place, end in ends.items())

    async def _follow(self, dsn: str, first: asyncio.Event) -> None:
        tried = 0
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as db:
                    await db.execute(f"listen {CHANNEL}")
                    rows = await db.execute("select topic, partition, next_offset from views.offsets")
                    self._learn({(t, p): o async for t, p, o in rows}, anew=True)
                    first.set()
                    tried = 0
                    async for notify in db.notifies():
                        self._learn({(t, int(p)): int(o) for t, p, o in FOLDED.findall(notify.payload)})
            except psycopg.Error as exc:
                if tried % 10 == 0:
                    log.warning("waiting for a server", server="postgres", reason=str(exc).partition("\n")[0])
                await asyncio.sleep(backoff_seconds(tried, 3))
                tried += 1

    def _learn(self, offsets: Offsets, *, anew: bool = False) -> None:
        self._folded = offsets if anew else self._folded | offsets
        self.went_back = self.behind(self._highest) > 0
        if not self.went_back:
            self._highest = dict(self._folded)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        topics = frozenset(topic for topic, _ in offsets)
        for listener in self._listeners:
            listener(topics)


async def end_offsets(settings: Settings, topics: Iterable[Topic]) -> Offsets:
    """The end of each partition now; waits for the broker."""
    return await until_available("kafka", lambda: ends_now(settings, list(topics)))


async def ends_now(settings: Settings, topics: Sequence[Topic]) -> Offsets:
    """The same; raises Unavailable while the broker is away."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, enable_auto_commit=False)
    try:
        await consumer.start()
        places = {TopicPartition(settings.kafka_name(t), p): (t.name, p) for t in topics for p in range(t.partitions)}
        found: dict[TopicPartition, int] = await consumer.end_offsets(list(places))
        return {places[place]: offset for place, offset in found.items()}
    except KafkaError as exc:
        raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
    finally:
        await consumer.stop()


async def until_fresh(settings: Settings, freshness: Freshness) -> None:
    """Returns when the views know every right and every document that the log held when this was called.

    Before that, a process that serves people could honour a right that was revoked long ago, while a replay still runs.
    """
    ends = await end_offsets(settings, (ACCESS_CHANGES, DOCUMENTS))
    while not await freshness.wait_for_all(ends, 10):
        log.warning("waiting for the views", behind=freshness.behind(ends))
