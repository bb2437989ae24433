"""A document's life: as an outside system says it, as we accepted it, and what became of it."""

from dataclasses import dataclass
from typing import Annotated

from schemas.event import Content, Doc, Event


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where an accepted event came from, for redelivery and audit; all null for HTTP."""

    topic: Annotated[str | None, Doc("inbox topic, without the installation's prefix")] = None
    partition: Annotated[int | None, Doc("partition of the inbox")] = None
    offset: Annotated[int | None, Doc("offset in the inbox")] = None


class DocumentPublished(Event):
    """An outside system says: this is the document now."""

    collection_id: Annotated[str, Doc("collection the document belongs to")]
    document_id: Annotated[str, Doc("the publisher's own id, at most 512 characters")]
    content: Annotated[bytes | None, Doc("the document's bytes, at most 1 MiB here; null: see object_sha256")] = None
    object_sha256: Annotated[
        str | None, Doc("hash of an object that this publisher uploaded, for larger documents")
    ] = None
    media_type: Annotated[str, Doc("text/plain, text/markdown, text/html or application/pdf")] = "text/plain"
    title: Annotated[str | None, Doc("title; null: taken from the document")] = None
    url: Annotated[str | None, Doc("where people find the original; never opened by us")] = None
    readers: Annotated[
        list[str] | None,
        Doc("principals that may read it (user:ID, group:NAME, public); null: the collection's readers"),
    ] = None
    source_version: Annotated[int | None, Doc("the publisher's own number, growing; a lower one is ignored")] = None


class DocumentRetracted(Event):
    """An outside system says: forget this document."""

    collection_id: Annotated[str, Doc("collection the document belongs to")]
    document_id: Annotated[str, Doc("the publisher's own id")]
    source_version: Annotated[int | None, Doc("the publisher's own number, growing; a lower one is ignored")] = None


class DocumentAccepted(Event):
    """A checked document, ours to index; its offset in `documents` is its version."""

    collection_id: Annotated[str, Doc("collection the document belongs to")]
    document_id: Annotated[str, Doc("the publisher's own id")]
    publisher: Annotated[str, Doc("who published it: user:ID, or inbox:NAME")]
    content: Annotated[Content, Doc("the document's bytes")]
    content_sha256: Annotated[str, Doc("lower-case hex SHA-256 of the bytes")]
    media_type: Annotated[str, Doc("text/plain, text/markdown, text/html or application/pdf")]
    title: Annotated[str | None, Doc("title; null: taken from the document")] = None
    url: Annotated[str | None, Doc("where people find the original")] = None
    readers: Annotated[list[str] | None, Doc("principals that may read it; null: the collection's readers")] = None
    source_version: Annotated[int | None, Doc("the publisher's own number")] = None
    source: Annotated[Source, Doc("the inbox record it came from")]


class DocumentWithdrawn(Event):
    """A checked wish to forget a document; it hides every version before it at once."""

    collection_id: Annotated[str, Doc("collection the document belongs to")]
    document_id: Annotated[str, Doc("the publisher's own id")]
    publisher: Annotated[str, Doc("who withdrew it: user:ID, or inbox:NAME")]
    source_version: Annotated[int | None, Doc("the publisher's own number")] = None
    source: Annotated[Source, Doc("the inbox record it came from")]


class DocumentIndexed(Event):
    """A version's passages are the live ones, or need no work."""

    collection_id: Annotated[str, Doc("collection the document belongs to")]
    document_id: Annotated[str, Doc("the publisher's own id")]
    index: Annotated[int, Doc("number of the index")]
    version: Annotated[int, Doc("offset in `documents`")]
    live_version: Annotated[int | None, Doc("the version readers see after it")]
    outcome: Annotated[str, Doc("indexed, unchanged (a no-op republish) or outdated (a lower source_version)")]
    passages: Annotated[int, Doc("passages of the live version")]
    source_version: Annotated[int | None, Doc("the publisher's own number")] = None
    accepted_at: Annotated[int, Doc("when the version was accepted, ms since the Unix epoch")]


class DocumentFailed(Event):
    """A document that will never be indexed as it is; the version before it stays live."""

    collection_id: Annotated[str, Doc("collection it named, as far as that could be read")]
    document_id: Annotated[str, Doc("the publisher's own id")]
    version: Annotated[int | None, Doc("offset in `documents`; null: never accepted")]
    stage: Annotated[str, Doc("admit, parse, split, embed or index")]
    code: Annotated[str, Doc("stable, kebab-case: unknown-collection, not-allowed, too-large, encrypted, no-text ...")]
    reason: Annotated[str, Doc("for people: the cause and the cure")]
    source: Annotated[Source, Doc("the inbox record it came from")]


class DocumentRemoved(Event):
    """A withdrawn document is gone."""

    collection_id: Annotated[str, Doc("collection the document belongs to")]
    document_id: Annotated[str, Doc("the publisher's own id")]
    version: Annotated[int, Doc("offset of the withdrawal in `documents`")]
    hidden_at: Annotated[int, Doc("from when no reader saw it, ms since the Unix epoch")]
    index_at: Annotated[int, Doc("its passages were deleted, ms since the Unix epoch")]
    objects_at: Annotated[int | None, Doc("its object was deleted; null: none, shared, or later")] = None
