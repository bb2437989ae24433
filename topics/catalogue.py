"""Every topic, declared once: provisioning, the picture, ACLs and tests come from here. Pure data."""

from dataclasses import dataclass
from datetime import timedelta

from schemas.access import (
    CollectionCreated,
    CollectionDeleted,
    CollectionReadersChanged,
    GroupCreated,
    GroupDeleted,
    GroupMemberAdded,
    GroupMemberRemoved,
    KeyCreated,
    KeyRevoked,
    UserCreated,
    UserSignedIn,
    UserSwitched,
)
from schemas.answers import (
    AnswerEnded,
    AnswerExtended,
    AnswerRecorded,
    AnswerStarted,
    AnswerWaiting,
    PassagesRetrieved,
)
from schemas.audit import AuditAccessed
from schemas.conversations import ConversationDeleted, ConversationStarted
from schemas.delivery import DeadLetter
from schemas.documents import (
    DocumentAccepted,
    DocumentFailed,
    DocumentIndexed,
    DocumentPublished,
    DocumentRemoved,
    DocumentRetracted,
    DocumentWithdrawn,
)
from schemas.event import Event
from schemas.turns import TurnRequested, TurnStopRequested

PARTITIONS = 12  # chosen when a topic is first provisioned, never changed after: keys would move
RECORD_LIMIT_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True)
class Topic:
    """A topic, without the installation's prefix. `retention` None: for ever."""

    name: str
    key: str
    events: tuple[type[Event], ...]
    retention: timedelta | None
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    why: str
    segment: timedelta | None = None
    ours: bool = True
    partitions: int = PARTITIONS


TURNS = Topic(
    "turns", "conversation_id", (TurnRequested,), None, ("api",), ("chat", "views"),
    "What was asked. A turn that a client saw accepted is here.",
)  # fmt: skip
TURN_STOPS = Topic(
    "turn-stops", "conversation_id", (TurnStopRequested,), None, ("api",), ("views",),
    "Who stopped what; the stop itself travels through Postgres, so that no queue lies before it.",
)  # fmt: skip
ANSWERS_LIVE = Topic(
    "answers-live", "conversation_id",
    (AnswerStarted, PassagesRetrieved, AnswerExtended, AnswerWaiting, AnswerEnded),
    timedelta(hours=24), ("chat",), ("api",),
    "Every answer as it grows; each API replica tails it.",
    segment=timedelta(hours=1),
)  # fmt: skip
ANSWERS = Topic(
    "answers", "conversation_id", (AnswerRecorded,), None, ("chat",), ("views",),
    "The one record of each turn: what the model was shown, and what it said.",
)  # fmt: skip
DOCUMENTS = Topic(
    "documents", "document key", (DocumentAccepted, DocumentWithdrawn), None,
    ("inboxes", "api", "documents"), ("documents", "views"),
    "Checked documents, ours. The offset is the version. `documents` withdraws those of deleted collections.",
)  # fmt: skip
DOCUMENT_STATUS = Topic(
    "document-status", "document key", (DocumentIndexed, DocumentFailed, DocumentRemoved), None,
    ("documents", "inboxes"), ("views", "publishers"),
    "Receipts: what became of each document.",
)  # fmt: skip
CONVERSATION_CHANGES = Topic(
    "conversation-changes", "conversation_id", (ConversationStarted, ConversationDeleted), None, ("api",), ("views",),
    "What happens to a conversation as a whole.",
)  # fmt: skip
ACCESS_CHANGES = Topic(
    "access-changes", "entity id",
    (
        UserCreated, UserSignedIn, UserSwitched, KeyCreated, KeyRevoked, GroupCreated, GroupMemberAdded,
        GroupMemberRemoved, GroupDeleted, CollectionCreated, CollectionReadersChanged, CollectionDeleted,
    ),
    None, ("api", "ops"), ("views",),
    "Who may do what. Keys as hashes only. The first user is said by `ops`.",
)  # fmt: skip
AUDIT_ACCESSES = Topic(
    "audit-accesses", "auditor", (AuditAccessed,), None, ("api", "ops"), ("auditors",),
    "Who read people's words on the log, and why: said before they are shown.",
)  # fmt: skip
DEAD_LETTERS = Topic(
    "dead-letters", "original key", (DeadLetter,), timedelta(days=30), ("chat", "inboxes", "documents", "views"), (),
    "Records that could not be read, whole, with the place they came from. People read it.",
)  # fmt: skip


def inbox(name: str) -> Topic:
    """The topic that one outside system writes to."""
    return Topic(
        f"documents-{name}", "document_id", (DocumentPublished, DocumentRetracted), timedelta(days=30),
        (f"source {name}",), ("inboxes",),
        f"Documents as the source `{name}` says them; checked by `inboxes` before anything believes them.",
        ours=False,
    )  # fmt: skip


DOCUMENTS_LOCAL = inbox("local")

OURS = (
    TURNS, TURN_STOPS, ANSWERS_LIVE, ANSWERS, DOCUMENTS, DOCUMENT_STATUS, CONVERSATION_CHANGES, ACCESS_CHANGES,
    AUDIT_ACCESSES, DEAD_LETTERS,
)  # fmt: skip


def document_key(collection_id: str, document_id: str) -> str:
    """The key of `documents` and `document-status`."""
    return f"{collection_id}/{document_id}"
