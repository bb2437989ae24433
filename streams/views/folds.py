"""Which fold reads which topic: the table of contents of the views worker."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from infra.kafka.records import Received
from infra.postgres.pool import Connection
from streams.views.fold_access import fold_access
from streams.views.fold_documents import fold_document_status, fold_documents
from streams.views.fold_turns import fold_answers, fold_conversations, fold_stops, fold_turns
from streams.views.tell_steps import give_up_sealed, stop_deleted, stop_turns
from topics.catalogue import (
    ACCESS_CHANGES,
    ANSWERS,
    CONVERSATION_CHANGES,
    DOCUMENT_STATUS,
    DOCUMENTS,
    TURN_STOPS,
    TURNS,
    Topic,
)

Folding = Callable[[Connection, Sequence[Received[Any]]], Awaitable[None]]


@dataclass(frozen=True)
class Fold:
    """A topic and the function that folds its records into tables.

    It gets the decodable records of a batch, by partition and offset, in the transaction that also moves the offsets.
    It must give the same tables for any repetition, and for any order between topics: no clock, no foreign key. It
    names the tables without a schema: they may be the live ones, or those made anew beside them. `tell`: what the steps
    hear of it, in the same transaction; only the live worker tells them.
    """

    topic: Topic
    fold: Folding
    tell: Folding | None = None


FOLDS = (
    Fold(ACCESS_CHANGES, fold_access),
    Fold(DOCUMENTS, fold_documents),
    Fold(DOCUMENT_STATUS, fold_document_status),
    Fold(CONVERSATION_CHANGES, fold_conversations, stop_deleted),
    Fold(TURNS, fold_turns),
    Fold(TURN_STOPS, fold_stops, stop_turns),
    Fold(ANSWERS, fold_answers, give_up_sealed),
)
