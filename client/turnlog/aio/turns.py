"""Asking: conversations, their turns, and the answers as they come."""

from collections.abc import AsyncIterator, Sequence

from turnlog.aio.follow import follow
from turnlog.aio.http import PAGE, AsyncHttp
from turnlog.model import Conversation, StreamItem, Turn, part, read
from turnlog.paths import path, said
from turnlog.stream import Answer


class AsyncTurns:
    """What a key with the scope `chat` can do."""

    _http: AsyncHttp

    async def ask(
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
        conversation = conversation_id or await self.start_conversation(idempotency_key=first)
        retrieval = {"collections": list(collections)} if collections else None
        body = said(question=question, model=model, retrieval=retrieval)
        told = await self._http.write(
            "POST", path("conversations", conversation, "turns"), key=idempotency_key, json=body
        )
        return read(Turn, told)

    async def start_conversation(self, title: str | None = None, *, idempotency_key: str | None = None) -> str:
        """The id of a new conversation."""
        told = await self._http.write("POST", "/v1/conversations", key=idempotency_key, json=said(title=title))
        return str(part(told, "conversation_id"))

    def events(self, turn_id: str, last_id: str = "") -> AsyncIterator[StreamItem]:
        """A turn's events until it has ended, at any age; a cut connection is taken up again."""
        return follow(self._http, turn_id, last_id)

    async def answer(self, turn_id: str) -> Answer:
        """Waits for the end of a turn: its text, its passages, and how it ended."""
        answer = Answer()
        async for item in self.events(turn_id):
            answer.take(item)
        return answer

    async def turn(self, turn_id: str) -> Turn:
        """A turn as it is now, with its record once it has ended."""
        return Turn.of(await self._http.json("GET", path("turns", turn_id), fresh=True))

    async def stop(self, turn_id: str) -> None:
        """Ends a turn with the text it has; its stream then says `stopped`."""
        await self._http.write("POST", path("turns", turn_id, "stop"))

    async def conversations(self) -> AsyncIterator[Conversation]:
        """One's conversations without their turns, the newest first."""
        async for told in self._http.pages("/v1/conversations", "conversation_id"):
            yield Conversation.of(told)

    async def conversation(self, conversation_id: str) -> Conversation:
        """A conversation with all its turns, in the order they were asked."""
        where, turns, cursor = path("conversations", conversation_id), list[Turn](), None
        while True:
            told = await self._http.json("GET", where, params=said(cursor=cursor, limit=PAGE), fresh=True)
            turns += [Turn.of(turn | {"conversation_id": conversation_id}) for turn in part(told, "turns")]
            if len(told["turns"]) < PAGE:
                return Conversation.of(told, turns)
            cursor = turns[-1].turn_id

    async def delete_conversation(self, conversation_id: str) -> None:
        """Deletes a conversation and stops what runs in it. Its events stay on the log, for audit."""
        await self._http.write("DELETE", path("conversations", conversation_id))
