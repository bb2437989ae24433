"""A turn's stream in OpenAI's words: chunks as they come, or the whole completion at its end."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import orjson

from api.problems import Problem
from api.stream.told import Told

TEXT = b'{"text":'
Tell = Callable[[], Awaitable[Told | None]]


class Completion:
    """Reads the frames of one turn, and remembers what its client was told.

    A new attempt says everything anew. As long as it says what the client has already, nothing is told again; an
    attempt that says something else is an error that names the turn, because a chunk cannot be taken back.
    """

    def __init__(self, turn_id: str, model: str, created: int, tell: Tell, *, usage: bool) -> None:
        self.turn_id, self.over = turn_id, False
        self._tell, self._usage, self._retrieved = tell, usage, False
        self._head = {"id": f"chatcmpl-{turn_id}", "created": created, "model": model}
        empty = self._chunk({"content": 0})
        self._before, self._after = empty.split(b'"content":0', 1)
        self._sent: list[bytes] = []  # pieces as JSON strings: the client's text, joined
        self._anew: str | None = None  # what a later attempt has said, until it has said more than the client has

    async def chunks(self, frames: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The response to `stream: true`."""
        yield self._chunk({"role": "assistant", "content": ""})
        try:
            async with aclosing(frames):
                async for event, data in events(frames):
                    if event == b"delta":
                        if piece := self._piece(data):
                            yield self._before + b'"content":' + piece + self._after
                    elif event == b"ended":
                        for chunk in await self._end(orjson.loads(data)):
                            yield chunk
                    else:
                        self._note(event)
                        yield b": %s\n\n" % (event or b"ping")
        except Problem as exc:
            self.over = True
            yield sse({"error": error_in_stream(exc, self.turn_id)})
        yield b"data: [DONE]\n\n"

    async def whole(self, frames: AsyncIterator[bytes]) -> dict[str, Any]:
        """The response without a stream; raises a 502 problem when the turn failed."""
        async for event, data in events(frames):
            if event == b"ended":
                return await self._completion(orjson.loads(data))
        raise Problem(500, "internal-error", "the stream had no end", turn_id=self.turn_id)

    def _note(self, event: bytes) -> None:
        if event == b"restart":
            self._anew = ""
        self._retrieved = self._retrieved or event == b"passages"

    def _piece(self, data: bytes) -> bytes:
        """The JSON string to tell of a delta; empty: the client has it."""
        piece = data[len(TEXT) : -1]
        if self._anew is None:
            self._sent.append(piece)
            return piece
        self._anew += orjson.loads(piece)
        told = self._text
        if not (self._anew.startswith(told) or told.startswith(self._anew)):
            raise self._changed()
        if len(self._anew) <= len(told):
            return b""
        more = orjson.dumps(self._anew[len(told) :])
        self._anew = None
        self._sent.append(more)
        return more

    @property
    def _text(self) -> str:
        return "".join(orjson.loads(piece) for piece in self._sent)

    def _changed(self) -> Problem:
        detail = f"the answer began anew and says something else now; read turn {self.turn_id}"
        return Problem(502, "answer-changed", detail, turn_id=self.turn_id)

    async def _end(self, ended: dict[str, Any]) -> list[bytes]:
        self.over = True
        if self._anew is not None and self._anew != self._text:
            raise self._changed()
        if ended["status"] == "failed":
            raise failed(ended, self.turn_id)
        told = await self._tell() if self._usage or self._retrieved else None
        delta = {"annotations": annotations(told)} if told and told.citations else {}
        chunks = [self._chunk(delta, finish_reason(ended))]
        if self._usage:
            chunks.append(sse(self._head | {"object": "chat.completion.chunk", "choices": [], "usage": usage(told)}))
        return chunks

    async def _completion(self, ended: dict[str, Any]) -> dict[str, Any]:
        self.over = True
        if ended["status"] == "failed":
            raise failed(ended, self.turn_id)
        told = await self._tell()
        if told is None:
            raise Problem(503, "unavailable", "the answer cannot be read now", turn_id=self.turn_id)
        message: dict[str, Any] = {"role": "assistant", "content": told.text, "refusal": None}
        message["annotations"] = annotations(told)
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(ended)}
        return self._head | {"object": "chat.completion", "choices": [choice], "usage": usage(told)}

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return sse(self._head | {"object": "chat.completion.chunk", "choices": [choice]})


async def events(frames: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bytes]]:
    """Name and data of each event of a turn's stream; a ping has no name."""
    async for frame in frames:
        for block in frame.split(b"\n\n"):
            if block:
                name, _, rest = block.partition(b"\n")
                yield name.removeprefix(b"event: ") if rest else b"", rest[rest.find(b"data: ") + 6 :]


def sse(data: dict[str, Any]) -> bytes:
    """A chunk."""
    return b"data: %s\n\n" % orjson.dumps(data)


def finish_reason(ended: dict[str, Any]) -> str:
    """Why the text ends: `length` at the limit of tokens, else `stop`."""
    return "length" if ended["reason"] == "length" else "stop"


def failed(ended: dict[str, Any], turn_id: str) -> Problem:
    """The turn has a record that says why there is no answer. It is final: asking again would be another turn."""
    return Problem(502, "turn-failed", str(ended["reason"]), headers={"x-should-retry": "false"}, turn_id=turn_id)


def error_in_stream(problem: Problem, turn_id: str) -> dict[str, Any]:
    """OpenAI's clients raise what a chunk calls `error`."""
    return {
        "message": problem.detail,
        "type": "server_error",
        "param": None,
        "code": problem.kind.replace("-", "_"),
        "turn_id": turn_id,
    }


def usage(told: Told | None) -> dict[str, Any]:
    """Tokens as the model's server counted them; one that counts no answer is counted by its pieces, no prompt by 0."""
    prompt = (told and told.prompt_tokens) or 0
    completion = (told and (told.completion_tokens if told.completion_tokens is not None else told.pieces)) or 0
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def annotations(told: Told) -> list[dict[str, Any]]:
    """Each marker as OpenAI's url_citation, with the passage that it rests on; positions are those of the marker."""
    shown = {passage["number"]: passage for passage in told.passages}
    found = []
    for citation in told.citations:
        passage, start = shown[citation["number"]], citation["position"]
        document = quote(passage["document_id"], safe="")
        found.append(
            {
                "type": "url_citation",
                "url_citation": {
                    "start_index": start,
                    "end_index": told.text.index("]", start) + 1,
                    "url": f"/v1/collections/{passage['collection_id']}/documents/{document}",
                    "title": passage["title"] or passage["document_id"],
                },
            }
        )
    return found
