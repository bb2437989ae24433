"""Documents that a lost database or index forgot are made anew from the log, or adopted: their passages are there."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.log import Log, Span, partition_of
from infra.kafka.records import NOTHING, Outputs, Received, Record
from infra.postgres.freshness import Freshness, until_fresh
from infra.postgres.pool import Pool, connection
from infra.settings import Settings
from infra.waiting import backoff_seconds
from schemas.documents import DocumentAccepted, DocumentFailed, DocumentWithdrawn
from schemas.errors import Invalid, Unavailable, Undecodable
from streams.app import Tools as Worker
from streams.documents.index_document import Tools, fail_document, index_document, remake
from streams.documents.receipts import failure, told
from streams.documents.version import Key
from streams.documents.withdraw_document import withdraw_document
from topics.catalogue import DOCUMENTS, document_key

LEADER = 7424  # the advisory lock of the one worker that restores
AT_ONCE = 100  # versions that are read from the log together
BESIDE = 4  # documents that are worked on together
LOOK_SECONDS = 5.0

# What the views know and the rows do not, of what this worker's group has finished: that is, what was lost. A live
# version before a failed one, and the last of all.
FORGOTTEN = """insert into state.restores (index, collection_id, document_id, "offset")
select %(index)s, v.collection_id, v.document_id, o from views.documents v
left join state.documents d
  on d.index = %(index)s and d.collection_id = v.collection_id and d.document_id = v.document_id
cross join lateral (
  select unnest(array[v.live_version, v.accepted_offset]) where v.accepted_offset > coalesce(v.withdrawn_offset, -1)
  union select v.withdrawn_offset where v.withdrawn_offset > coalesce(v.accepted_offset, -1)) wanted (o)
where o > coalesce(d.last_offset, -1) and o < %(finished)s and v.collection_id || '/' || v.document_id = any(%(keys)s)
on conflict do nothing"""
DOUBTFUL = """select v.collection_id || '/' || v.document_id from views.documents v
left join state.documents d on d.index = %s and d.collection_id = v.collection_id and d.document_id = v.document_id
where v.last_offset > coalesce(d.last_offset, -1)"""
OBJECTS = """insert into state.objects (sha256, owner, size)
select object_sha256, publisher, size from views.documents
where object_sha256 is not null and publisher is not null and accepted_offset > coalesce(withdrawn_offset, -1)
on conflict do nothing"""
NEXT = """select r.collection_id, r.document_id, r."offset", v.told_version,
  case when v.live_version = r."offset" then v.passages end
from state.restores r left join views.documents v using (collection_id, document_id)
where r.index = %s order by r."offset" limit %s"""
DONE = """with done as (delete from state.restores where index = %(index)s and collection_id = %(collection)s
  and document_id = %(document)s and "offset" = %(offset)s)
update state.documents d set positions = v.positions, source_version = v.source_version from views.documents v
where d.index = %(index)s and d.collection_id = %(collection)s and d.document_id = %(document)s
  and v.collection_id = d.collection_id and v.document_id = d.document_id
  and d.last_offset <= v.last_offset and v.last_offset < %(finished)s"""  # what is not finished must not look decided
log = structlog.get_logger()


@dataclass(frozen=True)
class Wanted:
    """A version to restore, and what its publisher was told of it."""

    collection_id: str
    document_id: str
    offset: int
    told_version: int | None
    passages: int | None  # how many it has, when it is the live one that a receipt told of

    @property
    def key(self) -> str:
        """The record's key."""
        return document_key(self.collection_id, self.document_id)


class Restorer:
    """Beside the steps: whoever comes first to a version writes it, the other sees that it is decided."""

    def __init__(self, worker: Worker, tools: Tools, pool: Pool) -> None:
        self._worker, self._tools, self._pool = worker, tools, pool
        self._settings: Settings = worker.settings
        self._number = tools.rows.index
        self._log = Log(worker.settings)

    async def run(self) -> None:
        """For ever; a server that is away, or refuses, is asked again. Looks for what was forgotten now and then."""
        async with Freshness.open(self._settings, "documents") as freshness:
            await until_fresh(self._settings, freshness)  # before that the views know less than the rows
            tried, looked = 0, float("-inf")
            while True:
                try:
                    now = time.monotonic()
                    if now - looked > self._settings.limits.reconcile_seconds / 2 or await self._forgot_everything():
                        await self.look()
                        looked = now
                    await self.restore()
                    tried = 0
                except (Unavailable, Invalid, psycopg.Error) as exc:
                    log.warning("restoring later", reason=str(exc))
                    tried += 1
                await asyncio.sleep(LOOK_SECONDS + backoff_seconds(tried))

    async def look(self) -> int:
        """Notes what was forgotten, after the database or its rows were lost; gives how many versions."""
        finished = await self._finished()
        parts: dict[int, list[str]] = defaultdict(list)
        async with connection(self._pool) as db:
            await db.execute(OBJECTS)
            async for (key,) in await db.execute(DOUBTFUL, [self._number]):
                parts[partition_of(key.encode(), DOCUMENTS.partitions)].append(key)
            found = 0
            for partition, keys in parts.items():
                wanted = {"index": self._number, "finished": finished.get(partition, 0), "keys": keys}
                found += (await db.execute(FORGOTTEN, wanted)).rowcount
        if found:
            log.warning("documents were forgotten, and are restored from the log", versions=found)
        return found

    async def restore(self) -> int:
        """Restores whatever is noted, when no other worker does; gives how many versions."""
        done = 0
        async with connection(self._pool) as leader:
            row = await (await leader.execute("select pg_try_advisory_lock(%s)", [LEADER])).fetchone()
            if not row or not row[0]:
                return 0
            try:
                while wanted := await self._next():
                    await self._some(wanted, await self._finished())
                    done += len(wanted)
            finally:
                await leader.execute("select pg_advisory_unlock(%s)", [LEADER])
        if done:
            log.info("restored", versions=done)
        return done

    async def _forgot_everything(self) -> bool:
        """No row at all, though the views know documents: the database is another one now."""
        query = """select exists (select 1 from views.documents where last_offset is not null)
          and not exists (select 1 from state.documents where index = %s)"""
        async with connection(self._pool) as db:
            row = await (await db.execute(query, [self._number])).fetchone()
        return bool(row and row[0])

    async def _next(self) -> list[Wanted]:
        async with connection(self._pool) as db:
            rows = await db.execute(NEXT, [self._number, AT_ONCE])
            return [Wanted(*row) async for row in rows]

    async def _some(self, wanted: Sequence[Wanted], finished: Mapping[int, int]) -> None:
        """One after the other of a document, some documents beside each other."""
        records = await self._records(wanted)
        documents: dict[str, list[Wanted]] = defaultdict(list)
        for one in wanted:
            documents[one.key].append(one)
        beside = asyncio.Semaphore(BESIDE)

        async def document(key: str, versions: list[Wanted]) -> None:
            async with beside:
                for one in versions:
                    await self._version(one, records.get((key, one.offset)))
                    await self._done(one, finished.get(partition_of(key.encode(), DOCUMENTS.partitions), 0))

        results = await asyncio.gather(*(document(*each) for each in documents.items()), return_exceptions=True)
        for failed in (result for result in results if isinstance(result, BaseException)):
            raise failed

    async def _records(self, wanted: Sequence[Wanted]) -> Mapping[tuple[str, int], Record]:
        places: dict[int, set[int]] = defaultdict(set)
        for one in wanted:
            places[partition_of(one.key.encode(), DOCUMENTS.partitions)].add(one.offset)
        spans = [Span(DOCUMENTS, partition, min(some), max(some) + 1) for partition, some in places.items()]
        found: dict[tuple[str, int], Record] = {}
        async for records in self._log.read(
            spans, lambda message: message.offset() in places[message.partition() or 0]
        ):
            found |= {((record.key or b"").decode(), record.offset): record for record in records}
        return found

    async def _version(self, wanted: Wanted, record: Record | None) -> None:
        received = None if record is None else await self._received(record)
        if received is None:
            log.error("a version is not on the log, or not readable", document=wanted.key, version=wanted.offset)
        elif isinstance(received.event, DocumentWithdrawn):
            await self._tell(await withdraw_document(received, self._tools.rows, self._tools.index), wanted)
        elif (row := await self._tools.rows.look(Key.of(self._number, received))).live_version == wanted.offset:
            await self._tell(await self._remade(received, row.live_passages or 0), wanted)
        elif not await self._adopted(received, wanted):
            await self._tell(await self._indexed(received), wanted)

    async def _done(self, wanted: Wanted, finished: int) -> None:
        named = {"collection": wanted.collection_id, "document": wanted.document_id, "offset": wanted.offset}
        async with connection(self._pool) as db:
            await db.execute(DONE, {"index": self._number, "finished": finished, **named})

    async def _received(self, record: Record) -> Any:
        try:
            event = await self._worker.codec.decode(
                DOCUMENTS.name, DOCUMENTS.events, record.value, record.named_headers()
            )
        except Undecodable:
            return None
        return Received(event, DOCUMENTS.name, record.partition, record.offset, record.key or b"", record.timestamp_ms)

    async def _remade(self, received: Received[DocumentAccepted], passages: int) -> Outputs:
        """Only the index was lost, if anything: its row tells what is live, and what else is known of the document."""
        key, version = Key.of(self._number, received), received.offset
        if await self._tools.index.count(key.collection_id, key.document_id, version) == passages:
            return NOTHING
        try:
            await remake(received, self._tools)
        except Unavailable:
            raise
        except Exception as exc:  # noqa: BLE001 - told like a crash of the step, which would also fail each time
            lost = await self._tools.rows.lose(key, version, *told(exc))
            return [failure(received, *told(exc))] if lost else NOTHING
        return NOTHING

    async def _adopted(self, received: Received[DocumentAccepted], wanted: Wanted) -> bool:
        """Takes the passages that are in the index already, when they are as many as the receipt says."""
        key, version, index = Key.of(self._number, received), received.offset, self._tools.index
        if not wanted.passages or await index.count(key.collection_id, key.document_id, version) != wanted.passages:
            return False
        await self._tools.rows.begin(received)
        if await self._tools.rows.count(key, version, wanted.passages):
            await self._tools.rows.flip(key, version)
        return True

    async def _indexed(self, received: Received[DocumentAccepted]) -> Outputs:
        try:
            return await index_document(received, self._tools)
        except Unavailable:
            raise
        except Exception as exc:  # noqa: BLE001 - told like a crash of the step, which would also fail each time
            return await fail_document(received, exc, self._tools)

    async def _tell(self, outputs: Outputs, wanted: Wanted) -> None:
        """What its publisher was not told yet."""
        told = wanted.told_version is not None and wanted.told_version >= wanted.offset
        for output in outputs:
            if isinstance(output.event, DocumentFailed) or not told:
                await self._worker.publisher.publish(output.topic, output.key, output.event, partition=output.partition)

    async def _finished(self) -> dict[int, int]:
        """What this worker's group has finished, by partition: what lies beyond will come by itself."""
        client = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap,
            group_id=self._settings.kafka_name("documents"),
            enable_auto_commit=False,
        )
        name = self._settings.kafka_name(DOCUMENTS)
        try:
            await client.start()
            return {n: await client.committed(TopicPartition(name, n)) or 0 for n in range(DOCUMENTS.partitions)}
        except KafkaError as exc:
            raise Unavailable("kafka", str(exc) or type(exc).__name__) from exc
        finally:
            await client.stop()
