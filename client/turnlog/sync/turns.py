# Generated from turnlog/aio/turns.py by `make generate`; `make check` fails when it is stale.
"""Asking: conversations, their turns, and the answers as they come."""

from collections.abc import Iterator, Sequence

from turnlog.model import Conversation, StreamItem, Turn, part, read
from turnlog.paths import path, said
from turnlog.stream import Answer
from turnlog.sync.follow import follow
from turnlog.sync.http import PAGE, Http


class Turns:
    """What a key with the scope `chat` can do."""

    _http: Http

    def ask(
        self,
        question: str,
        *,
        conversation_id: str | None = None,
        model: str | None = None,
        collections: Sequence[str] | None = None,
        idempotency_key: str | None = None,
    ) -> Turn:
        """Asks in a conversation, or in a new one. Accepted is kept: the turn will have an answer.

        Tries of one call count once by themselves. With a key of your own a later call, even of another process,
        gives the turn of the first one; the server remembers it for 24 h.
        """
        first = f"{idempotency_key}-conversation" if idempotency_key else None
        conversation = conversation_id or self.start_conversation(idempotency_key=first)
        retrieval = {"collections": list(collections)} if collections else None
        body = said(question=question, model=model, retrieval=retrieval)
        told = self._http.write("POST", path("conversations", conversation, "turns"), key=idempotency_key, json=body)
        return read(Turn, told)

    def start_conversation(self, title: str | None = None, *, idempotency_key: str | None = None) -> str:
        """The id of a new conversation."""
        told = self._http.write("POST", "/v1/conversations", key=idempotency_key, json=said(title=title))
        return str(part(told, "conversation_id"))

    def events(self, turn_id: str, last_id: str = "") -> Iterator[StreamItem]:
        """A turn's events until it has ended, at any age; a cut connection is taken up again."""
        return follow(self._http, turn_id, last_id)

    def answer(self, turn_id: str) -> Answer:
        """Waits for the end of a turn: its text, its passages, and how it ended."""
        answer = Answer()
        for item in self.events(turn_id):
            answer.take(item)
        return answer

    def turn(self, turn_id: str) -> Turn:
        """A turn as it is now, with its record once it has ended."""
        return Turn.of(self._http.json("GET", path("turns", turn_id), fresh=True))

    def stop(self, turn_id: str) -> None:
        """Ends a turn with the text it has; its stream then says `stopped`."""
        self._http.write("POST", path("turns", turn_id, "stop"))

    def conversations(self) -> Iterator[Conversation]:
        """One's conversations without their turns, the newest first."""
        for told in self._http.pages("/v1/conversations", "conversation_id"):
            yield Conversation.of(told)

    def conversation(self, conversation_id: str) -> Conversation:
        """A conversation with all its turns, in the order they were asked."""
        where, turns, cursor = path("conversations", conversation_id), list[Turn](), None
        while True:
            told = self._http.json("GET", where, params=said(cursor=cursor, limit=PAGE), fresh=True)
            turns += [Turn.of(turn | {"conversation_id": conversation_id}) for turn in part(told, "turns")]
            if len(told["turns"]) < PAGE:
                return Conversation.of(told, turns)
            cursor = turns[-1].turn_id

    def delete_conversation(self, conversation_id: str) -> None:
        """Deletes a conversation and stops what runs in it. Its events stay on the log, for audit."""
        self._http.write("DELETE", path("conversations", conversation_id))
