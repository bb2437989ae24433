"""What a publisher is told of a version: the same receipt however often it is asked for."""

from datetime import datetime

from infra.documents import Unfit
from infra.kafka.records import Output
from schemas.documents import DocumentFailed, DocumentIndexed, DocumentRemoved
from schemas.errors import Invalid, Refused
from streams.documents.rows import Row
from streams.documents.version import Change
from topics.catalogue import DOCUMENT_STATUS, document_key


def receipt(received: Change, index: int, row: Row) -> Output:
    """The receipt of a version that was decided, as its row has it now."""
    if row.live_version == received.offset:
        return _output(received, _indexed(received, index, row, "indexed"))
    if row.last_offset != received.offset or row.outcome in ("outdated", None):
        return _output(received, _indexed(received, index, row, "outdated"))
    if row.outcome == "failed":
        return failure(received, row.stage or "", row.code or "", row.reason or "")
    if row.outcome == "withdrawn":
        return _output(received, _removed(received, row))
    return _output(received, _indexed(received, index, row, row.outcome or "outdated"))


def failure(received: Change, stage: str, code: str, reason: str) -> Output:
    """A version that will never be indexed as it is."""
    event = received.event
    failed = DocumentFailed(
        collection_id=event.collection_id,
        document_id=event.document_id,
        version=received.offset,
        stage=stage,
        code=code,
        reason=reason,
        source=event.source,
    )
    return _output(received, failed)


def told(error: Exception) -> tuple[str, str, str]:
    """Stage, code and reason of an error, for people; a crash of ours is told without its inside."""
    if isinstance(error, Unfit):
        return error.stage, error.code, error.reason
    if isinstance(error, Invalid | Refused):
        return "index", "invalid", str(error)
    return "index", "internal-error", f"our fault ({type(error).__name__}): it is in our log; publish it again later"


def _indexed(received: Change, index: int, row: Row, outcome: str) -> DocumentIndexed:
    event = received.event
    return DocumentIndexed(
        collection_id=event.collection_id,
        document_id=event.document_id,
        index=index,
        version=received.offset,
        live_version=row.live_version,
        outcome=outcome,
        passages=row.live_passages or 0,
        source_version=event.source_version,
        accepted_at=event.occurred_at,
    )


def _removed(received: Change, row: Row) -> DocumentRemoved:
    assert row.hidden_at is not None
    assert row.index_at is not None
    return DocumentRemoved(
        collection_id=received.event.collection_id,
        document_id=received.event.document_id,
        version=received.offset,
        hidden_at=_ms(row.hidden_at),
        index_at=_ms(row.index_at),
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def _output(received: Change, event: DocumentIndexed | DocumentFailed | DocumentRemoved) -> Output:
    key = document_key(event.collection_id, event.document_id)
    return Output(DOCUMENT_STATUS, key, event, received.partition)
