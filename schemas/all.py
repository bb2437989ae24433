"""Every event, imported once, so that `EVENTS` is whole."""

from schemas import access, answers, audit, conversations, delivery, documents, turns
from schemas.event import EVENTS

__all__ = ["EVENTS", "access", "answers", "audit", "conversations", "delivery", "documents", "turns"]
