"""Events told to somebody who is no developer: a line each, where it lies on the log, and what it says in plain words.

Metadata always; people's words (`words`) are told apart, so that nobody shows them by accident.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from audit.find import Entry
from schemas.answers import (
    AnswerEnded,
    AnswerExtended,
    AnswerRecorded,
    AnswerStarted,
    AnswerWaiting,
    PassagesRetrieved,
    Permissions,
    Retrieved,
    ShownPassage,
    Timings,
)
from schemas.audit import AuditAccessed
from schemas.conversations import ConversationStarted
from schemas.documents import (
    DocumentAccepted,
    DocumentFailed,
    DocumentIndexed,
    DocumentRemoved,
    DocumentWithdrawn,
)
from schemas.event import Content, Event
from schemas.turns import Parameters, TurnRequested, TurnStopRequested
from topics.catalogue import document_key

Words = dict[str, Content]


@dataclass(frozen=True)
class Line:
    """What happened, `at` ms since the Unix epoch; `place`: topic/partition:offset; `details` hold nobody's words."""

    at: int
    place: str
    event: str
    says: str
    turn_id: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    document: str | None = None
    words: Words = field(default_factory=dict)
    prompt: Content | None = None
    prompt_format: str = ""


def lines_of(entries: Iterable[Entry]) -> list[Line]:
    """The story; an attempt's many deltas are one line, and so is one long wait."""
    told: list[Line] = []
    for alike, group in groupby(entries, key=_alike):
        some = list(group)
        if not alike:
            told += [_line(entry) for entry in some]
        else:
            told.append(_deltas(some) if isinstance(some[0].event, AnswerExtended) else _waits(some))
    return told


def _alike(entry: Entry) -> tuple[str, str, int] | None:
    match entry.event:
        case AnswerExtended(turn_id=turn_id, attempt=attempt):
            return "delta", turn_id, attempt
        case AnswerWaiting(turn_id=turn_id, attempt=attempt, server=server):
            return server, turn_id, attempt
    return None


def _deltas(entries: list[Entry]) -> Line:
    events = [entry.event for entry in entries if isinstance(entry.event, AnswerExtended)]
    return Line(
        at=entries[0].record.timestamp_ms,
        place=_places(entries),
        event="AnswerExtended",
        says=f"the answer grew by {_many(len(events), 'delta')} to {events[-1].position} characters",
        turn_id=events[0].turn_id,
        details={"attempt": events[0].attempt, "seq": f"{events[0].seq} to {events[-1].seq}"},
        words={"text": Content.of("".join(event.text for event in events))},
    )


def _waits(entries: list[Entry]) -> Line:
    first = _line(entries[0])
    if len(entries) == 1:
        return first
    until = time_of(entries[-1].record.timestamp_ms)
    return replace(first, place=_places(entries), details=first.details | {"last said": until})


def _places(entries: list[Entry]) -> str:
    """Of records on one partition, perhaps with others between."""
    return entries[0].place if len(entries) == 1 else f"{entries[0].place}-{entries[-1].record.offset}"


def _line(entry: Entry) -> Line:
    record, event = entry.record, entry.event
    if event is None:
        return Line(record.timestamp_ms, entry.place, "", f"a record that nobody can read: {entry.problem}")
    says, details, words = _told(event)
    return Line(
        at=record.timestamp_ms,
        place=entry.place,
        event=type(event).__name__,
        says=says,
        turn_id=getattr(event, "turn_id", None),
        document=document_key(event.collection_id, event.document_id) if isinstance(event, DocumentAccepted) else None,
        details={name: value for name, value in details.items() if value not in (None, [], {})},
        words={name: content for name, content in words.items() if content is not None and content.size},
        prompt=event.prompt if isinstance(event, AnswerRecorded) and event.prompt.size else None,
        prompt_format=event.prompt_format if isinstance(event, AnswerRecorded) else "",
    )


def _told(event: Event) -> tuple[str, dict[str, Any], dict[str, Content | None]]:
    """In plain words, with details, and with the words of people in it."""
    match event:
        case TurnRequested():
            return _asked(event)
        case AnswerRecorded():
            return _recorded(event)
        case DocumentAccepted():
            return _accepted(event)
        case ConversationStarted():
            return f"{event.user_id} started a conversation", {}, {"title": event.title}
        case PassagesRetrieved():
            says = f"{_many(len(event.passages), 'passage')} found for the model"
            return says, {"attempt": event.attempt, **_search(event.retrieved)}, {"query": event.retrieved.query}
    says, details = _said_without_words(event)
    return says, details, {}


def _said_without_words(event: Event) -> tuple[str, dict[str, Any]]:
    match event:
        case AnswerStarted():
            return "an attempt at the answer began", {"attempt": event.attempt}
        case AnswerWaiting():
            return f"the answer waits for {event.server}", {"attempt": event.attempt, "after": event.position}
        case AnswerEnded():
            return f"the stream ended: {_ended(event.status, event.reason)}", {"attempt": event.attempt}
        case TurnStopRequested():
            why = {"user": "", "reader-gone": ", because nobody read it any more"}.get(
                event.reason, f", {event.reason}"
            )
            return f"{event.user_id} stopped the answer{why}", {}
        case DocumentWithdrawn():
            return f"{event.publisher} withdrew {document_key(event.collection_id, event.document_id)}", {}
        case DocumentIndexed():
            return _indexed(event)
        case DocumentFailed():
            return f"it could not be indexed: {event.reason}", {"stage": event.stage, "code": event.code}
        case DocumentRemoved():
            return "it is gone from the index", {"hidden at": time_of(event.hidden_at)}
        case AuditAccessed():
            prompt = ", with the model's whole input" if event.prompt else ""
            details = {
                "via": event.via,
                "asked for": event.asked_for,
                "turns": event.turns,
                "documents": event.documents,
            }
            return f'{event.auditor} was shown words{prompt}, because: "{event.reason}"', details
    named = {name: value for name, value in vars(event).items() if name not in ("event_id", "occurred_at")}
    return _plainly(type(event).__name__), {name: value for name, value in named.items() if name != "secret_sha256"}


def _asked(event: TurnRequested) -> tuple[str, dict[str, Any], dict[str, Content | None]]:
    details = {
        "conversation": event.conversation_id,
        "follows": event.parent_turn_id,
        "with": event.credential_id,
        "until": time_of(event.deadline),
        "question": _size(event.question),
        "messages before it": _size(event.messages) if event.messages else None,
        "collections": event.retrieval.collections,
        "passages at most": event.retrieval.passages,
        **_parameters(event.parameters),
    }
    labels = {f"label {label.name}": Content.of(label.value) for label in event.labels or []}
    return (
        f"{event.user_id} asked the model {event.model}",
        details,
        {"question": event.question, "messages": event.messages, **labels, **_stops(event.parameters)},
    )


def _recorded(event: AnswerRecorded) -> tuple[str, dict[str, Any], dict[str, Content | None]]:
    model = f"{event.model} ({event.provider}: {event.provider_model})" if event.provider else event.model
    cited = [f"[{one.number}] after {one.position} characters" for one in event.citations]
    details = {
        "model": model,
        "attempt": event.attempt,
        "answer": f"{event.length} characters",
        "rights": _rights(event.permissions),
        "folded by then": _folded(event.permissions),
        **_search(event.retrieved),
        "shown": [_passage(passage) for passage in event.passages],
        "cited": cited,
        "input of the model": f"{event.prompt_format}, {_size(event.prompt)}" if event.prompt.size else None,
        "tokens": _tokens(event),
        "times": _times(event.timings),
        **_parameters(event.parameters),
    }
    titles = {f"title of {p.number}": Content.of(" / ".join([p.title or "", *p.heading])) for p in event.passages}
    query = event.retrieved.query if event.retrieved else None
    words = {"query": query, "text": event.text, **titles, **_stops(event.parameters)}
    return f"the answer: {_ended(event.status, event.reason)}", details, words


def _accepted(event: DocumentAccepted) -> tuple[str, dict[str, Any], dict[str, Content | None]]:
    source = event.source
    details = {
        "type": event.media_type,
        "bytes": event.content.size,
        "sha256": event.content_sha256,
        "readers": "those of the collection" if event.readers is None else event.readers,
        "number of its source": event.source_version,
        "from": f"{source.topic}/{source.partition}:{source.offset}" if source.topic else None,
    }
    text = event.content if event.media_type.startswith("text/") else None
    title = Content.of(event.title) if event.title else None
    says = (
        f"{event.publisher} published {document_key(event.collection_id, event.document_id)}: its offset is its version"
    )
    return says, details, {"title": title, "content": text}


def _indexed(event: DocumentIndexed) -> tuple[str, dict[str, Any]]:
    says = {
        "indexed": f"version {event.version} is searchable, {_many(event.passages, 'passage')}",
        "unchanged": f"version {event.version} says nothing new",
        "outdated": f"version {event.version} came after a newer one, and is not used",
    }.get(event.outcome, event.outcome)
    return says, {"live version": event.live_version, "index": event.index}


def _ended(status: str, reason: str | None) -> str:
    if status == "completed":
        return "completed" + (", cut off where its token limit was reached" if reason == "length" else "")
    return status + (f": {reason}" if reason else "")


def _rights(permissions: Permissions | None) -> str | None:
    return f"as {permissions.user_id}: {', '.join(permissions.principals)}" if permissions else None


def _folded(permissions: Permissions | None) -> list[str]:
    views = permissions.views if permissions else []
    return [
        f"{topic} " + " ".join(f"{view.partition}:{view.offset}" for view in some)
        for topic, some in groupby(views, key=lambda view: view.topic)
    ]


def _search(found: Retrieved | None) -> dict[str, Any]:
    if found is None:
        return {}
    told = f"{_many(found.hits, 'hit')}, {found.walled} held back by the wall, {found.returned} left"
    return {"search": told, "search was incomplete": found.incomplete}


def _passage(passage: ShownPassage) -> str:
    page = f", page {passage.page}" if passage.page is not None else ""
    where = f"{document_key(passage.collection_id, passage.document_id)} version {passage.version}"
    scores = f"score {passage.score:.3f}, words {_score(passage.score_text)}, meaning {_score(passage.score_vector)}"
    return f"[{passage.number}] {where}{page}, characters {passage.start} to {passage.end} ({scores})"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _parameters(parameters: Parameters) -> dict[str, Any]:
    told = vars(parameters) | {"stop": _many(len(parameters.stop), "text") if parameters.stop else None}
    return {name.replace("_", " "): value for name, value in told.items() if value is not None}


def _stops(parameters: Parameters) -> Words:
    """What ends an answer is the asker's words."""
    return {f"stop {number}": Content.of(text) for number, text in enumerate(parameters.stop or [], 1)}


def _tokens(event: AnswerRecorded) -> str | None:
    usage = event.usage
    known = [(usage.prompt_tokens, "read"), (usage.completion_tokens, "written")]
    told = [f"{count} {what}" for count, what in known if count is not None]
    return ", ".join(told) or None


def _times(times: Timings) -> str:
    steps = (
        ("claimed", times.claimed_at),
        ("passages", times.retrieved_at),
        ("first word", times.first_piece_at),
        ("end", times.ended_at),
    )
    told = [f"{name} +{at - times.requested_at} ms" for name, at in steps if at is not None]
    return f"asked {time_of(times.requested_at)}, " + ", ".join(told)


def _size(content: Content) -> str:
    return f"{content.size} bytes" + (f", object {content.object_sha256}" if content.object_sha256 else "")


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


def _plainly(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


def time_of(ms: int) -> str:
    """A moment, for people: 2026-03-01 09:30:00.125 UTC."""
    try:
        moment = datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ms % 1000:03d} UTC"


def as_text(lines: Iterable[Line], words: dict[int, dict[str, str]]) -> Iterator[str]:
    """For people: time, place and what happened, details below; `words` by the number of the line."""
    for number, line in enumerate(lines):
        yield f"{time_of(line.at)}  {line.place}"
        yield f"    {line.says}"
        for name, value in line.details.items():
            if isinstance(value, list):
                yield f"      {name}:"
                yield from (f"        {one}" for one in value)
            else:
                yield f"      {name}: {value}"
        for name, text in words.get(number, {}).items():
            yield f"      {name}:"
            yield from (f"      | {one}" for one in text.splitlines() or [""])


def as_json(line: Line, words: dict[str, str] | None) -> dict[str, Any]:
    """A line for programs."""
    told = {
        "time": time_of(line.at),
        "at_ms": line.at,
        "place": line.place,
        "event": line.event,
        "says": line.says,
        "turn_id": line.turn_id,
        "details": line.details,
    }
    return told if words is None else told | {"words": words}
