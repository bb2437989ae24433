"""What happens to a conversation as a whole."""

from typing import Annotated

from schemas.event import Content, Doc, Event


class ConversationStarted(Event):
    """A conversation exists (a turn alone starts one, too)."""

    conversation_id: Annotated[str, Doc("UUIDv7; the record's key")]
    user_id: Annotated[str, Doc("owner")]
    title: Annotated[Content | None, Doc("title, UTF-8; null: none yet")] = None


class ConversationDeleted(Event):
    """The owner wants a conversation shown no more; its events stay for audit."""

    conversation_id: Annotated[str, Doc("UUIDv7; the record's key")]
    user_id: Annotated[str, Doc("owner")]
