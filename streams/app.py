"""The only place that configures Faust: a worker from its steps."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import faust
import structlog
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from infra.health import Health
from infra.kafka.publisher import Publisher
from infra.kafka.records import Record
from infra.objects import Objects
from infra.postgres.pool import Pool
from infra.settings import Settings
from schemas.codec import Codec
from schemas.errors import Invalid
from streams.dead_letters import EX_CONFIG, Burial, StopWorker
from streams.lag import EndOffsets
from streams.metrics import WorkerMetrics
from streams.runner import KeyedRunner, Place
from streams.step import Delivery, Step, Tries, Undecoded
from streams.strict_consumer import StrictApp, StrictConsumer
from streams.topic_guard import keep_guard
from streams.tries import PostgresTries
from streams.watchdog import EX_SOFTWARE, Glance, Stalled, watch
from topics.catalogue import Topic

log = structlog.get_logger()
POLL_RECORDS = 4
TEN_YEARS_SECONDS = 10 * 365 * 86400.0
HELD_BYTES = 64 * 1024 * 1024
STOP_SECONDS = 15.0
HANDLER_TIMES_DEADLINE = 2  # no handler works for longer than a turn may; the rest is waiting for servers at its end


@dataclass(frozen=True)
class Tools:
    """What every worker stands on, opened once; steps take from it what they need."""

    settings: Settings
    codec: Codec
    publisher: Publisher
    objects: Objects
    health: Health

    @property
    def registry(self) -> CollectorRegistry:
        """Where a worker's own metrics go."""
        return self.health.registry


@dataclass(frozen=True)
class Pipeline:
    """A worker's table of contents.

    `db`: a pool of a role that may use state.tries and state.topic_ids (chat, documents).
    `tries` None: crashes are counted in state.tries. `undecodable`: what to say besides the dead letter.
    """

    steps: Sequence[Step[Any]]
    db: Pool
    tries: Tries | None = None
    undecodable: Undecoded | None = None


Open = Callable[[Tools], AbstractAsyncContextManager[Pipeline]]


@dataclass
class Worker:
    """A Faust app, the runner that it feeds, and what watches both."""

    tools: Tools
    app: StrictApp
    delivery: Delivery
    runner: KeyedRunner
    metrics: WorkerMetrics
    ends: EndOffsets
    topics: dict[str, Topic]
    keep_guard: Callable[[], Coroutine[Any, Any, None]]

    @classmethod
    def of(cls, name: str, pipeline: Pipeline, tools: Tools, ends: EndOffsets) -> "Worker":
        """Wires delivery, runner and Faust."""
        settings, metrics = tools.settings, WorkerMetrics(tools.registry)
        topics = {settings.kafka_name(step.topic): step.topic for step in pipeline.steps}
        ours = frozenset(topic.name for topic in topics.values() if topic.ours)
        delivery = Delivery(
            pipeline.steps,
            codec=tools.codec,
            publisher=tools.publisher,
            burial=Burial(settings, name, tools.publisher, tools.objects, metrics, ours),
            tries=pipeline.tries or PostgresTries(pipeline.db, name, settings.limits.tries),
            metrics=metrics,
            undecodable=pipeline.undecodable,
        )
        runner = KeyedRunner(delivery.deliver, metrics, events=settings.limits.held_events, size=HELD_BYTES)
        app = StrictApp(settings.kafka_name(name), **faust_settings(settings, list(topics.values())))
        guarding = partial(keep_guard, settings, name, list(topics.values()), pipeline.db)
        worker = cls(tools, app, delivery, runner, metrics, ends, topics, guarding)
        worker._subscribe()
        return worker

    def _subscribe(self) -> None:
        for kafka_name, topic in self.topics.items():
            _agent(self.app, self.runner, kafka_name, topic.name)

        # Assigned, not revoked: an eager rebalance revokes everything and gives most of it back.
        @self.app.on_partitions_assigned.connect(weak=False)
        async def assigned(_: faust.App, assigned: set[Any], **__: Any) -> None:
            self.runner.on_assigned({self._place(tp) for tp in assigned})
            self.tools.health.there("start")

        @self.app.on_before_shutdown.connect(weak=False)
        async def before_shutdown(_: faust.App, **__: Any) -> None:
            await self.runner.drain(self.tools.settings.limits.drain_seconds)

    async def run(self, stop: asyncio.Event) -> int:
        """Works until told to stop, or until it cannot go on; gives the exit code."""
        if not self.topics:  # no inbox is configured: nothing to do, and nothing wrong
            self.tools.health.there("start")
            await stop.wait()
            return 0
        stopped = asyncio.create_task(stop.wait())
        watching = asyncio.create_task(self._watch())
        working = asyncio.create_task(self._work())
        ends: list[asyncio.Future[Any]] = [stopped, watching, working, self.runner.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        code = self._verdict(stop, watching, working)
        self.tools.health.missing("start", "stopping")
        watching.cancel()
        stopped.cancel()
        try:
            await asyncio.wait_for(self.app.stop(), self.tools.settings.limits.drain_seconds + STOP_SECONDS)
        except TimeoutError:
            log.error("could not stop in order; nothing unfinished was acked")
            os._exit(code or 1)
        working.cancel()
        return code or self._verdict(stop, watching, working)  # a delivery may have failed during the drain

    async def _work(self) -> None:
        await self.app.start()
        await self.app.wait_until_stopped()

    async def _watch(self) -> None:
        """Ends only by raising: Stalled, or Invalid when a topic was made anew."""
        limits = self.tools.settings.limits
        looks = (
            watch(self._glance, limits.stalled_seconds, HANDLER_TIMES_DEADLINE * limits.turn_deadline_seconds),
            self.keep_guard(),
        )
        tasks = [asyncio.ensure_future(look) for look in looks]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            done.pop().result()
        finally:
            for task in tasks:
                task.cancel()

    async def _glance(self) -> Glance:
        """Measures the lag, shows it, and says whether anything moves."""
        consumer = cast(StrictConsumer, self.app.consumer)
        if not self._started or not consumer.assignment():
            return self._seen(*(await self.ends.of_group(self._all_places()) or (None, 0)))
        behind = await self.ends.behind(consumer)
        backlog = None if behind is None else 0
        if behind is not None:
            self.metrics.lag.clear()  # what a rebalance took away is no longer ours to show
        for tp, found in (behind or {}).items():
            place = self._place(tp)
            self.metrics.lag.labels(*place).set(found.unfinished)
            buffered = consumer.newest(tp) > self.runner.last_taken.get(place, -1)
            backlog = (backlog or 0) + found.unread + buffered
        return self._seen(backlog)

    def _seen(self, backlog: int | None, committed: int = 0) -> Glance:
        return Glance(
            backlog,
            moved=self.runner.taken + self.runner.finished + committed,
            busy=self.runner.full or self.delivery.patience.waiting > 0,
            sender_alive=self.tools.publisher.alive,
            handling_seconds=self.delivery.handling_seconds(),
        )

    def _all_places(self) -> list[TopicPartition]:
        return [TopicPartition(name, n) for name, topic in self.topics.items() for n in range(topic.partitions)]

    @property
    def _started(self) -> bool:
        return "start" not in self.tools.health.waits_for

    def _place(self, tp: Any) -> Place:
        return Place(self.tools.settings.plain_name(tp.topic), tp.partition)

    def _verdict(self, stop: asyncio.Event, watching: "asyncio.Task[None]", working: "asyncio.Task[None]") -> int:
        """Why the worker ends, as an exit code, and says it."""
        if self.runner.failed.done() and (cause := self.runner.failed.exception()) is not None:
            if isinstance(cause, StopWorker):
                log.error("stopped for good: a person must look", reason=str(cause))
                return EX_CONFIG
            log.error("a delivery could not be finished", exc_info=cause)
            return 1
        if watching.done() and not watching.cancelled():
            if isinstance(cause := watching.exception(), Stalled):
                log.error("no progress", reason=str(cause))
                return EX_SOFTWARE
            if isinstance(cause, Invalid):
                log.error("stopped for good: a person must look", reason=str(cause))
                return EX_CONFIG
            log.error("the watchdog failed", exc_info=cause)
            return 1
        if stop.is_set():
            return 0
        crash = working.exception() if working.done() and not working.cancelled() else None
        log.error("Faust crashed", exc_info=self.app.crash_reason or crash)
        return 1


def faust_settings(settings: Settings, topics: Sequence[Topic]) -> dict[str, Any]:
    """The settings that were proved on a real broker; docs/decisions.md has the reasons."""
    partitions = max((topic.partitions for topic in topics), default=1)
    return {
        "broker": f"kafka://{settings.kafka_bootstrap.replace(',', ';kafka://')}",
        "datadir": settings.folder("faust"),
        "autodiscover": False,
        "web_enabled": False,
        "processing_guarantee": "at_least_once",
        "store": "memory://",
        "topic_partitions": partitions,
        "broker_commit_interval": 1.0,
        "broker_session_timeout": settings.limits.consumer_session_seconds,
        "broker_heartbeat_interval": 1.0,
        "broker_rebalance_timeout": 30,
        "broker_request_timeout": 30,
        "broker_max_poll_interval": TEN_YEARS_SECONDS,  # a member without partitions would leave for good
        "broker_max_poll_records": POLL_RECORDS,
        "stream_buffer_maxsize": 5 * POLL_RECORDS * partitions + 5 * POLL_RECORDS,
        "stream_wait_empty": False,
        "stream_processing_timeout": 3600,
        "broker_commit_livelock_soft_timeout": 3600,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": settings.instance or None,
        "producer_acks": -1,
        "producer_linger": 0,
        "producer_threaded": False,
        "producer_request_timeout": 600,  # a batch older than this fails: any longer outage kills the worker
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "agent_supervisor": "mode.CrashingSupervisor",
        "key_serializer": "raw",
        "value_serializer": "raw",
    }


def _agent(app: StrictApp, runner: KeyedRunner, kafka_name: str, plain: str) -> None:
    async def take(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            stamp = round((message.timestamp or 0) * 1000)
            headers = tuple(message.headers or ())
            record = Record(plain, message.partition, message.offset, stamp, message.key, message.value, headers)
            await runner.submit(record, event.ack)

    app.agent(app.topic(kafka_name, key_type=bytes, value_type=bytes), name=f"take-{plain}")(take)
