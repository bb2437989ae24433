"""documents -> document-status: hide a document for good, then delete its passages."""

from infra.kafka.records import NOTHING, Outputs, Received
from infra.opensearch.passages import PassageIndex
from schemas.documents import DocumentWithdrawn
from streams.documents.receipts import failure, receipt, told
from streams.documents.rows import DocumentRows
from streams.documents.sweep import sweep
from streams.documents.version import Key


async def withdraw_document(received: Received[DocumentWithdrawn], rows: DocumentRows, index: PassageIndex) -> Outputs:
    """The wall hides it since the view had the event; now nothing is live. The row stays: older records are ignored."""
    key = Key.of(rows.index, received)
    await rows.begin_withdrawal(received)
    await sweep(await rows.leftovers(key), rows, index)
    return [receipt(received, rows.index, await rows.removed(key, received.offset))]


async def fail_withdrawal(received: Received[DocumentWithdrawn], error: Exception, rows: DocumentRows) -> Outputs:
    """documents -> document-status: it is hidden, but its passages could not be deleted; the sweeper goes on trying."""
    row = await rows.look(Key.of(rows.index, received))
    if row.index_at is not None and row.last_offset == received.offset:  # the sweeper was faster
        return [receipt(received, rows.index, row)]
    return NOTHING if row.last_offset > received.offset else [failure(received, *told(error))]
