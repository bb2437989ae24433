"""What the system says in a turn: live, piece by piece, and once for ever."""

from dataclasses import dataclass
from typing import Annotated

from schemas.event import Content, Doc, Event
from schemas.turns import Parameters


@dataclass(frozen=True, kw_only=True)
class ShownPassage:
    """A passage that stood in the prompt under a number."""

    number: Annotated[int, Doc("its number in the prompt, from 1; what a marker [n] names")]
    collection_id: Annotated[str, Doc("collection of the document")]
    document_id: Annotated[str, Doc("document, as its publisher named it")]
    version: Annotated[int, Doc("document version: offset in `documents`")]
    passage: Annotated[int, Doc("number of the passage within the version, from 0")]
    title: Annotated[str | None, Doc("title of the document")]
    page: Annotated[int | None, Doc("page the passage begins on, from 1")]
    start: Annotated[int, Doc("first character in the document's text, in code points")]
    end: Annotated[int, Doc("character after the last, in code points")]
    heading: Annotated[list[str], Doc("headings above the passage, outermost first")]
    score: Annotated[float, Doc("fused score of the hybrid query, 0 to 1")]
    score_text: Annotated[float | None, Doc("BM25 score of the lexical arm, null: not among its hits")]
    score_vector: Annotated[float | None, Doc("(1 + cosine) / 2 of the vector arm, null: not among its hits")]


@dataclass(frozen=True, kw_only=True)
class Citation:
    """A marker in the answer that names a shown passage."""

    number: Annotated[int, Doc("number of the shown passage")]
    position: Annotated[int, Doc("characters of the answer before the marker, in code points")]


@dataclass(frozen=True, kw_only=True)
class Retrieved:
    """What a search came to, for the record."""

    query: Annotated[Content, Doc("the text that was searched for")]
    hits: Annotated[int, Doc("hits of the index")]
    walled: Annotated[int, Doc("hits that the wall held back")]
    returned: Annotated[int, Doc("passages left")]
    incomplete: Annotated[str | None, Doc("why the search could not see everything, else null")] = None


@dataclass(frozen=True, kw_only=True)
class ViewOffset:
    """How far a view had folded one partition."""

    topic: Annotated[str, Doc("topic, without the installation's prefix")]
    partition: Annotated[int, Doc("partition")]
    offset: Annotated[int, Doc("next offset to fold")]


@dataclass(frozen=True, kw_only=True)
class Permissions:
    """The rights an answer was made with, and how fresh they were."""

    user_id: Annotated[str, Doc("who asked")]
    principals: Annotated[list[str], Doc("user:ID, group:NAME and public, sorted")]
    views: Annotated[list[ViewOffset], Doc("how far `access-changes` and `documents` were folded")]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an answer cost; null: the model did not say."""

    prompt_tokens: Annotated[int | None, Doc("tokens of the prompt")] = None
    completion_tokens: Annotated[int | None, Doc("tokens of the answer")] = None
    pieces: Annotated[int, Doc("pieces the model sent, before coalescing")] = 0


@dataclass(frozen=True, kw_only=True)
class Timings:
    """When an attempt reached what, ms since the Unix epoch; null: never."""

    requested_at: Annotated[int, Doc("the turn was asked")]
    claimed_at: Annotated[int, Doc("this attempt began")]
    retrieved_at: Annotated[int | None, Doc("the passages were there")] = None
    first_piece_at: Annotated[int | None, Doc("the model's first piece came")] = None
    ended_at: Annotated[int, Doc("the model was done")]


@dataclass(frozen=True, kw_only=True)
class StreamEvent:
    """An event of the stream that is no text, to play it again at the right place."""

    kind: Annotated[str, Doc("retrieving, passages or waiting")]
    seq: Annotated[int, Doc("its seq")]
    position: Annotated[int, Doc("characters of the answer before it")]
    detail: Annotated[str | None, Doc("waiting: the server; else null")] = None


class AnswerStarted(Event):
    """An attempt at an answer began."""

    turn_id: Annotated[str, Doc("the turn")]
    attempt: Annotated[int, Doc("attempt: max(last + 1, ms since the Unix epoch)")]
    seq: Annotated[int, Doc("1")]
    retrieving: Annotated[bool, Doc("whether passages are looked for first")]


class PassagesRetrieved(Event):
    """The passages that will be shown to the model."""

    turn_id: Annotated[str, Doc("the turn")]
    attempt: Annotated[int, Doc("attempt")]
    seq: Annotated[int, Doc("number of this event in the attempt's stream, dense from 1")]
    passages: Annotated[list[ShownPassage], Doc("passages, in the prompt's order")]
    retrieved: Annotated[Retrieved, Doc("what the search came to")]


class AnswerExtended(Event):
    """The answer grew by a delta."""

    turn_id: Annotated[str, Doc("the turn")]
    attempt: Annotated[int, Doc("attempt")]
    seq: Annotated[int, Doc("number of this event in the attempt's stream, dense from 1")]
    position: Annotated[int, Doc("characters of the answer after this delta, in code points")]
    text: Annotated[str, Doc("the delta")]


class AnswerWaiting(Event):
    """The answer waits for a server that is away."""

    turn_id: Annotated[str, Doc("the turn")]
    attempt: Annotated[int, Doc("attempt")]
    seq: Annotated[int, Doc("number of this event in the attempt's stream, dense from 1")]
    server: Annotated[str, Doc("which: opensearch, objects, or a provider's name")]
    position: Annotated[int, Doc("characters of the answer before it, in code points")] = 0


class AnswerEnded(Event):
    """The answer is sealed; nothing follows."""

    turn_id: Annotated[str, Doc("the turn")]
    attempt: Annotated[int, Doc("attempt that was sealed")]
    seq: Annotated[int, Doc("number of this event in the attempt's stream, dense from 1")]
    length: Annotated[int, Doc("characters of the whole answer, in code points")]
    status: Annotated[str, Doc("completed, stopped or failed")]
    reason: Annotated[str | None, Doc("failed: why, for people")] = None


class AnswerRecorded(Event):
    """The one record of a turn: what was asked of which model, what it was shown, what it said."""

    turn_id: Annotated[str, Doc("the turn")]
    conversation_id: Annotated[str, Doc("its conversation; the record's key")]
    attempt: Annotated[int, Doc("attempt that was sealed")]
    seq: Annotated[int, Doc("seq of its AnswerEnded")]
    status: Annotated[str, Doc("completed, stopped or failed")]
    reason: Annotated[str | None, Doc("failed: why, for people; completed: length when the token limit ended it")] = (
        None
    )
    parent_turn_id: Annotated[str | None, Doc("the turn before it in the conversation's tree")]
    text: Annotated[Content, Doc("the answer, UTF-8")]
    length: Annotated[int, Doc("characters of the answer, in code points")]
    citations: Annotated[list[Citation], Doc("markers, in order of position")]
    passages: Annotated[list[ShownPassage], Doc("passages shown, by number")]
    retrieved: Annotated[Retrieved | None, Doc("what the search came to; null: none was made")]
    prompt: Annotated[Content, Doc("the exact input that was sent to the model; empty when none was sent")]
    prompt_format: Annotated[
        str, Doc("what the prompt's bytes are: text, or messages (a JSON list of OpenAI messages)")
    ]
    model: Annotated[str, Doc("alias asked for")]
    provider: Annotated[str, Doc("provider that answered")]
    provider_model: Annotated[str, Doc("the provider's name of the model")]
    parameters: Annotated[Parameters, Doc("parameters sent")]
    permissions: Annotated[Permissions | None, Doc("rights used; null when the turn failed before they were read")]
    usage: Annotated[Usage, Doc("tokens")]
    timings: Annotated[Timings, Doc("when what happened")]
    events: Annotated[list[StreamEvent], Doc("events of the stream that are no text, by seq")]
