"""documents, document-status -> views.documents: what is published, and what became of it."""
# ruff: noqa: S608 - every part of a query here is a constant of this module

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from psycopg.types.json import Jsonb

from infra.kafka.records import Received
from infra.postgres.moment import moment
from infra.postgres.pool import Connection
from schemas.documents import DocumentAccepted, DocumentFailed, DocumentIndexed, DocumentRemoved, DocumentWithdrawn
from schemas.event import Event
from streams.documents.decide import Known, decide

Key = tuple[str, str]
Row = dict[str, Any]
CODES_OF_STRANGERS = frozenset(("unknown-collection", "not-allowed"))  # told to the sender only, on the topic

KNOWN = """select collection_id, document_id, coalesce(last_offset, -1), positions, source_version
  from documents join unnest(%s::text[], %s::text[]) asked (collection_id, document_id)
  using (collection_id, document_id)"""
TOLD = """insert into documents as kept
  (collection_id, document_id, told_version, told_offset, told_at, outcome, stage, code, reason, passages, live_version,
   objects_at)
  values (%(collection_id)s, %(document_id)s, %(version)s, %(offset)s, %(at)s, %(outcome)s, %(stage)s, %(code)s,
   %(reason)s, %(passages)s, %(live_version)s, %(objects_at)s)
  on conflict (collection_id, document_id) do update set told_version = excluded.told_version,
   told_offset = excluded.told_offset, told_at = excluded.told_at, outcome = excluded.outcome, stage = excluded.stage,
   code = excluded.code, reason = excluded.reason, passages = coalesce(excluded.passages, kept.passages),
   live_version = case when excluded.outcome = 'failed' then kept.live_version else excluded.live_version end,
   objects_at = excluded.objects_at
  where kept.told_version is null or excluded.told_version > kept.told_version
   or excluded.told_version = kept.told_version and excluded.told_offset > kept.told_offset"""
REFUSED = """insert into documents as kept
  (collection_id, document_id, refused_offset, refused_at, refused_code, refused_reason)
  values (%(collection_id)s, %(document_id)s, %(offset)s, %(at)s, %(code)s, %(reason)s)
  on conflict (collection_id, document_id) do update set refused_offset = excluded.refused_offset,
   refused_at = excluded.refused_at, refused_code = excluded.refused_code, refused_reason = excluded.refused_reason
  where kept.refused_offset is null or excluded.refused_offset > kept.refused_offset"""


async def fold_documents(db: Connection, received: Sequence[Received[Event]]) -> None:
    """Folds records of `documents`: the same rule as the steps says which of them count."""
    known = await _known(db, {(r.event.collection_id, r.event.document_id) for r in received})  # type: ignore[attr-defined]
    changed: dict[Key, Row] = {}
    for record in received:
        event = record.event
        assert isinstance(event, DocumentAccepted | DocumentWithdrawn)
        key = event.collection_id, event.document_id
        verdict, after = decide(known.get(key, Known()), Received(event, *_rest(record)))
        if verdict == "seen":
            continue
        known[key] = after
        row = changed.setdefault(key, {"collection_id": key[0], "document_id": key[1]})
        row |= {"last_offset": after.last_offset, "source_version": after.source_version}
        row["positions"] = Jsonb(after.positions)
        if verdict == "new":
            row |= _accepted(event, record.offset) if isinstance(event, DocumentAccepted) else _withdrawn(event, record)
    await _write(db, changed.values())


async def fold_document_status(db: Connection, received: Sequence[Received[Event]]) -> None:
    """Folds receipts: that of the highest version counts; one of a version that was passed over says nothing."""
    told, refused = [], []
    for record in received:
        event, place = record.event, {"offset": record.offset, "at": moment(record.event.occurred_at)}
        if isinstance(event, DocumentFailed) and event.version is None:
            if event.code not in CODES_OF_STRANGERS:
                refused.append({"collection_id": event.collection_id, "document_id": event.document_id,
                                "code": event.code, "reason": event.reason} | place)  # fmt: skip
        elif not (isinstance(event, DocumentIndexed) and event.outcome == "outdated"):
            told.append(_told(event) | place)
    async with db.cursor() as cursor:
        await cursor.executemany(TOLD, told)
        await cursor.executemany(REFUSED, refused)


async def _known(db: Connection, keys: Iterable[Key]) -> dict[Key, Known]:
    asked = list(keys)
    rows = await db.execute(KNOWN, [[key[0] for key in asked], [key[1] for key in asked]])
    return {(row[0], row[1]): Known(row[2], row[3], row[4]) async for row in rows}


def _rest(record: Received[Event]) -> tuple[Any, ...]:
    return tuple(getattr(record, field.name) for field in fields(record)[1:])


def _accepted(event: DocumentAccepted, offset: int) -> Row:
    return {
        "accepted_offset": offset,
        "accepted_at": moment(event.occurred_at),
        "publisher": event.publisher,
        "content_sha256": event.content_sha256,
        "object_sha256": event.content.object_sha256,
        "size": event.content.size,
        "media_type": event.media_type,
        "title": event.title,
        "url": event.url,
        "readers": event.readers,
    }


def _withdrawn(event: DocumentWithdrawn, record: Received[Event]) -> Row:
    moved = {"withdrawn_offset": record.offset, "withdrawn_at": moment(event.occurred_at)}
    return moved | {"title": None, "url": None}  # words of people, which nobody needs any more


def _told(event: Event) -> Row:
    row: Row = dict.fromkeys(("stage", "code", "reason", "passages", "live_version", "objects_at"))
    match event:
        case DocumentIndexed():
            row |= {"outcome": event.outcome, "passages": event.passages, "live_version": event.live_version}
        case DocumentFailed():
            row |= {"outcome": "failed", "stage": event.stage, "code": event.code, "reason": event.reason}
        case DocumentRemoved():
            row |= {"outcome": "removed", "objects_at": None if event.objects_at is None else moment(event.objects_at)}
        case _:
            raise TypeError(f"{type(event).__name__} does not belong on document-status")
    return row | {"collection_id": event.collection_id, "document_id": event.document_id, "version": event.version}


async def _write(db: Connection, rows: Iterable[Row]) -> None:
    """One upsert for each set of columns that changed."""
    alike: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        alike[tuple(row)].append(row)
    async with db.cursor() as cursor:
        for columns, many in alike.items():
            sets = ", ".join(f"{column} = excluded.{column}" for column in columns[2:])
            query = (
                f"insert into documents ({', '.join(columns)}) values ({', '.join(f'%({c})s' for c in columns)}) "
                f"on conflict (collection_id, document_id) do update set {sets}"
            )
            await cursor.executemany(query.encode(), many)
