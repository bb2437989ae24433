"""What has become of a document, as its collection's owner and its readers may know it."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from api.fields import Moment, rows
from infra.postgres.pool import Connection
from topics.catalogue import document_key

State = Literal["queued", "indexed", "failed", "removing", "withdrawn"]

SELECT = """
select d.collection_id, d.document_id, d.accepted_offset, d.accepted_at, d.withdrawn_offset, d.withdrawn_at,
  d.told_version, d.outcome, d.code, d.reason, d.live_version, d.passages, d.title, d.url, d.media_type, d.size,
  d.publisher, d.source_version, d.refused_at, d.refused_code, d.refused_reason,
  case when app.keeps_collection(d.collection_id) then d.readers
       else array(select r from unnest(d.readers) r where r = any ((select app.principals())::text[])) end as readers,
  d.readers is not null as has_readers,
  app.keeps_collection(d.collection_id) as kept,
  (select s.waiting_for from state.documents s join state.serving_index using (index)
   where s.collection_id = d.collection_id and s.document_id = d.document_id and s.last_offset = d.accepted_offset)
   as waiting_for
from views.documents d
where d.collection_id = %(collection)s
  and (app.keeps_collection(d.collection_id) or d.accepted_offset > coalesce(d.withdrawn_offset, -1))"""
ONE = SELECT + " and d.document_id = %(document)s"
MANY = SELECT + " and d.document_id > %(cursor)s order by d.document_id limit %(limit)s"


class Refusal(BaseModel):
    """A record of an inbox that was not admitted; the document is as it was before."""

    code: str
    reason: str
    at: Moment


class DocumentStatus(BaseModel):
    """A document and what has become of its newest version."""

    collection_id: str
    document_id: str
    key: str
    state: State = Field(description="queued, indexed, failed, removing (hidden already) or withdrawn")
    version: int | None = Field(description="the newest version: its offset on the topic `documents`")
    live_version: int | None = Field(default=None, description="the version that searches find")
    passages: int | None = Field(default=None, description="of the live version")
    title: str | None = Field(default=None, description="as it was published; null: taken from the document")
    url: str | None = None
    media_type: str | None = None
    size: int | None = Field(default=None, description="in bytes")
    readers: list[str] | None = Field(
        default=None, description="null: the collection's; others than its owner see their own"
    )
    publisher: str | None = None
    source_version: int | None = None
    accepted_at: Moment | None = None
    withdrawn_at: Moment | None = None
    code: str | None = Field(default=None, description="why the newest version failed; stable")
    reason: str | None = Field(default=None, description="the same for people: the cause and the cure")
    waiting_for: str | None = Field(default=None, description="the server that indexing waits for")
    refused: Refusal | None = None


class DocumentRow(BaseModel):
    """A row of views.documents, with what the caller is to it."""

    collection_id: str
    document_id: str
    accepted_offset: int | None
    accepted_at: Moment | None
    withdrawn_offset: int | None
    withdrawn_at: Moment | None
    told_version: int | None
    outcome: str | None
    code: str | None
    reason: str | None
    live_version: int | None
    passages: int | None
    title: str | None
    url: str | None
    media_type: str | None
    size: int | None
    publisher: str | None
    source_version: int | None
    refused_at: Moment | None
    refused_code: str | None
    refused_reason: str | None
    readers: list[str] | None
    has_readers: bool
    kept: bool
    waiting_for: str | None

    @property
    def withdrawn(self) -> bool:
        """Whether the last thing that counts is a withdrawal."""
        return self.withdrawn_offset is not None and self.withdrawn_offset > (self.accepted_offset or -1)

    @property
    def version(self) -> int | None:
        """The last thing that counts; None: nothing was ever accepted."""
        return self.withdrawn_offset if self.withdrawn else self.accepted_offset

    @property
    def state(self) -> State:
        """What has become of it."""
        told = self.outcome if self.told_version == self.version else None
        if self.withdrawn:
            return "withdrawn" if told == "removed" else "removing"
        if told == "failed" or self.version is None:
            return "failed"
        return "queued" if told is None else "indexed"

    def status(self) -> DocumentStatus:
        """As people are told."""
        state, refused = self.state, self._refused()
        told: dict[str, Any] = {} if self.withdrawn else self._described()
        if state in ("failed", "removing"):
            told |= {"code": self.code, "reason": self.reason} if self.version is not None else {}
        if self.version is None and refused:
            told |= {"code": refused.code, "reason": refused.reason}
        return DocumentStatus(
            collection_id=self.collection_id,
            document_id=self.document_id,
            key=document_key(self.collection_id, self.document_id),
            state=state,
            version=self.version,
            withdrawn_at=self.withdrawn_at if self.withdrawn else None,
            refused=refused,
            **told,
        )

    def _described(self) -> dict[str, Any]:
        shown = ("passages", "title", "url", "media_type", "size", "publisher", "source_version", "accepted_at")
        found = {name: getattr(self, name) for name in ("live_version", "waiting_for", *shown)}
        return found | {"readers": self.readers if self.has_readers else None}

    def _refused(self) -> Refusal | None:
        if not self.kept or self.refused_at is None or self.refused_code is None:
            return None
        newest = self.withdrawn_at if self.withdrawn else self.accepted_at
        if newest is not None and newest > self.refused_at:
            return None
        return Refusal(code=self.refused_code, reason=self.refused_reason or "", at=self.refused_at)


async def row_of(db: Connection, collection: str, document: str) -> DocumentRow | None:
    """A document that the caller may know of."""
    found = await rows(db, DocumentRow, ONE, {"collection": collection, "document": document})
    return found[0] if found else None
