"""One accepted change of a document, as the steps handle it."""

import hashlib
import json
from dataclasses import dataclass

from infra.kafka.records import Received
from schemas.documents import DocumentAccepted, DocumentWithdrawn
from streams.documents.parsers import PARSER_VERSION

Change = Received[DocumentAccepted] | Received[DocumentWithdrawn]


@dataclass(frozen=True)
class Key:
    """A document in one index."""

    index: int
    collection_id: str
    document_id: str

    @classmethod
    def of(cls, index: int, received: Change) -> "Key":
        """The document that a record is about."""
        return cls(index, received.event.collection_id, received.event.document_id)


def digest_of(event: DocumentAccepted) -> str:
    """Of everything that shows in the index: two versions with one digest are the same to readers."""
    shown = [PARSER_VERSION, event.content_sha256, event.media_type, event.title, event.url, event.readers]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()
