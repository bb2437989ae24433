"""One of everything that a person can have, put on the log."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

from schemas.access import CollectionCreated
from schemas.answers import AnswerRecorded
from schemas.conversations import ConversationStarted
from schemas.documents import DocumentAccepted, DocumentIndexed
from schemas.event import Content, Event, uuid7
from schemas.turns import TurnRequested, TurnStopRequested
from streams.views.folds import FOLDS
from tests.api.house import EVERYTHING, House
from tests.examples import example
from topics.catalogue import (
    ANSWERS,
    CONVERSATION_CHANGES,
    DOCUMENT_STATUS,
    DOCUMENTS,
    TURN_STOPS,
    TURNS,
    Topic,
    document_key,
)

DOCUMENT = "a-document"
FOLDED = {fold.topic for fold in FOLDS}


@dataclass(frozen=True)
class Belongings:
    """Their identifiers."""

    user_id: str
    key_id: str
    group: str
    collection: str
    conversation_id: str
    turn_id: str
    sha256: str

    @property
    def words(self) -> dict[str, list[Any]]:
        """What routes call them."""
        return {
            "user_id": [self.user_id],
            "owner": [self.user_id],
            "key_id": [self.key_id],
            "group": [self.group],
            "collection": [self.collection],
            "collection_id": [self.collection],
            "collections": [[self.collection]],
            "readers": [[f"user:{self.user_id}"], [f"group:{self.group}"]],
            "conversation_id": [self.conversation_id],
            "turn_id": [self.turn_id],
            "parent_turn_id": [self.turn_id],
            "sha256": [self.sha256],
            "object_sha256": [self.sha256],
        }


NOTHING = Belongings("nobody", "f" * 16, "no-group", "no-collection", uuid7(), uuid7(), "f" * 64)


async def settle(house: House, user_id: str) -> Belongings:
    """Gives a new user one of everything."""
    client = await house.user(user_id, *EVERYTHING)
    key_id = client.headers["authorization"].split("_")[1]
    data = f"an object of {user_id}".encode()
    has = Belongings(
        user_id, key_id, f"{user_id}-group", f"{user_id}-papers", uuid7(), uuid7(), hashlib.sha256(data).hexdigest()
    )
    assert (await client.put("/v1/objects", content=data)).is_success
    await house.group(has.group, user_id, user_id)
    await house.access(CollectionCreated(collection_id=has.collection, name="Papers", owner=user_id, readers=[]))
    for topic, key, event in _events(has):
        if topic in FOLDED:
            await house.tell(topic, key, event)
        else:
            await house.publisher.publish(topic, key, event)
    return has


def _events(has: Belongings) -> list[tuple[Topic, str, Event]]:
    document: dict[str, Any] = {"collection_id": has.collection, "document_id": DOCUMENT}
    turn: dict[str, Any] = {"conversation_id": has.conversation_id, "turn_id": has.turn_id}
    key, words = document_key(has.collection, DOCUMENT), Content.of("words")
    publisher = f"user:{has.user_id}"
    return [
        (
            DOCUMENTS,
            key,
            replace(example(DocumentAccepted), **document, content=words, readers=None, publisher=publisher),
        ),
        (DOCUMENT_STATUS, key, replace(example(DocumentIndexed), **document)),
        (
            CONVERSATION_CHANGES,
            has.conversation_id,
            ConversationStarted(conversation_id=has.conversation_id, user_id=has.user_id),
        ),
        (
            TURNS,
            has.conversation_id,
            replace(example(TurnRequested), **turn, user_id=has.user_id, question=words, parent_turn_id=None),
        ),
        (TURN_STOPS, has.conversation_id, replace(example(TurnStopRequested), **turn, user_id=has.user_id)),
        (
            ANSWERS,
            has.conversation_id,
            replace(example(AnswerRecorded), **turn, text=words, prompt=words, length=5, parent_turn_id=None),
        ),
    ]
