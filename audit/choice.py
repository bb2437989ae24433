"""What an auditor wants to see, checked: exactly one thing, or a stretch of time."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from audit.find import Finder, Found
from infra.access import COLLECTION_ID, USER_ID
from schemas.errors import Invalid
from schemas.event import now_ms

AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
UNITS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}  # in ms
ID = re.compile(r"[0-9a-zA-Z-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What to replay. Times in ms since the Unix epoch; those of turns, conversations and documents are their own."""

    turn: str | None = None
    conversation: str | None = None
    user: str | None = None
    document: str | None = None
    accesses: bool = False
    since: int | None = None
    until: int | None = None

    def __post_init__(self) -> None:
        """Raises Invalid that says what to give instead."""
        named = [self.turn, self.conversation, self.user, self.document, self.accesses or None]
        chosen = len([one for one in named if one is not None])
        timed = self.since is not None or self.until is not None
        if chosen > 1 or (not chosen and not timed):
            raise Invalid("choose one: a turn, a conversation, a user, a document, the accesses, or a time from or to")
        if timed and (self.turn or self.conversation or self.document):
            raise Invalid("a time goes with a user, with the accesses, or alone: the others are found by their name")
        for name in (self.turn, self.conversation):
            if name is not None and not ID.fullmatch(name):
                raise Invalid(f"{name!r} is no id of a turn or a conversation")
        if self.user is not None and not re.fullmatch(USER_ID, self.user):
            raise Invalid(f"{self.user!r} is no user id")
        if self.document is not None:
            self._document(self.document)
        if self.since is not None and self.until is not None and self.since >= self.until:
            raise Invalid("the time from lies after the time to")

    @property
    def is_of_one(self) -> bool:
        """Whether it is of one thing, which is on the log or does not exist."""
        return bool(self.turn or self.conversation or self.document)

    @property
    def said(self) -> str:
        """For people, and for the log."""
        for name in ("turn", "conversation", "user", "document"):
            if value := getattr(self, name):
                return f"{name} {value}"
        return "accesses" if self.accesses else "a stretch of time"

    async def find(self, finder: Finder) -> Found:
        """The records; raises Unavailable."""
        if self.turn:
            return await finder.turn(self.turn)
        if self.conversation:
            return await finder.conversation(self.conversation)
        if self.user:
            return await finder.user(self.user, self.since, self.until)
        if self.document:
            return await finder.document(*self._document(self.document))
        if self.accesses:
            return await finder.accesses(self.since, self.until)
        return await finder.between(self.since, self.until)

    @staticmethod
    def _document(named: str) -> tuple[str, str]:
        collection, slash, document = named.partition("/")
        if not slash or not document or not re.fullmatch(COLLECTION_ID, collection):
            raise Invalid(f"{named!r} is no document: COLLECTION/DOCUMENT")
        return collection, document


def moment_of(said: str) -> int:
    """2026-03-01, 2026-03-01T09:30+01:00 (UTC when no zone is said), or how long ago: 30m, 2h, 7d; raises Invalid."""
    if ago := AGO.fullmatch(said):
        return max(0, now_ms() - int(ago[1]) * UNITS[ago[2]])
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise Invalid(f"{said!r} is no time: 2026-03-01, 2026-03-01T09:30, or 2h for two hours ago") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return max(0, int(found.timestamp() * 1000))
