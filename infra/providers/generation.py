"""One answer while it streams."""

import asyncio

from infra.providers.connection import Connection, Response
from infra.providers.dialect import Dialect, Said
from infra.providers.pace import Pace
from infra.providers.request import Ended, GenerateRequest, ModelFailed, OnText
from infra.providers.stop_sequences import StopSequences
from schemas.answers import Usage
from schemas.errors import Invalid, Refused, Unavailable
from schemas.event import now_ms

_LONGEST_LINE = 1024 * 1024


class Generation:
    """One running answer.

    The first piece goes to `on_text` at once, all later ones once a tick, joined; never twice at the same time, and
    never anew after `ended` returned or the context was left. What `on_text` raises comes out of `ended`.
    """

    def __init__(self, server: str, dialect: Dialect, pace: Pace, connection: Connection, on_text: OnText) -> None:
        self.first_piece_at: int | None = None
        self.pieces = 0
        self._server, self._dialect, self._pace, self._connection = server, dialect, pace, connection
        self._on_text = on_text
        self._response = Response(on_data=self._read)
        self._said, self._events = Said(), 0
        self._stop = StopSequences([])
        self._text: list[str] = []
        self._untaken: Exception | None = None
        self._handing_over = asyncio.Lock()
        loop = asyncio.get_running_loop()
        self._heard_at, self._clock = loop.time(), loop.time
        self._finished: asyncio.Future[bool] = loop.create_future()  # whether it was stopped

    def begin(self, asked: GenerateRequest) -> None:
        """Sends the request."""
        self._stop = StopSequences(asked.parameters.stop or [])
        self._connection.send(self._dialect.request(asked), self._response)

    @property
    def complete(self) -> bool:
        """Whether the whole response was read."""
        return self._response.complete

    @property
    def has_text(self) -> bool:
        """Whether there is something to flush."""
        return bool(self._text)

    def stop(self) -> None:
        """Ends the call to the model; what was read before is still handed over, then `ended` returns `stopped`."""
        if not self._finished.done():
            self._finished.set_result(True)
            self.close()

    async def ended(self) -> Ended:
        """Waits for the end; all text has been handed over then. Raises Unavailable, Refused or Invalid."""
        await asyncio.wait([self._finished])
        self._text.append(self._stop.rest())
        await self._hand_over()
        stopped = self._finished.result()
        usage = Usage(
            prompt_tokens=self._said.prompt_tokens, completion_tokens=self._said.completion_tokens, pieces=self.pieces
        )
        return Ended(status="stopped" if stopped else self._said.finish or "completed", usage=usage)

    def close(self) -> None:
        """Ends the call to the model unless it has ended."""
        self._pace.remove(self)
        if self._finished.done():
            self._finished.exception()  # nobody may be left to ask for it
        if not self.complete and not self._said.done:
            self._connection.abort()

    async def flush(self) -> None:
        """Hands over what has come, unless that is being done."""
        if self._handing_over.locked():
            return
        try:
            await self._hand_over()
        except Exception as exc:  # noqa: BLE001 - it comes out of `ended`
            self._fail(exc)

    def resume(self) -> None:
        """Lets the socket be read."""
        self._connection.resume()

    def give_up_if_silent_since(self, moment: float) -> None:
        """Fails when nothing has come since then: a model can die and leave its stream open."""
        if self._heard_at < moment and self._said.finish:  # it had said all, and only its end is missing
            self._finish()
        elif self._heard_at < moment:
            self._fail(self._broken_off(Unavailable(self._server, "no piece for too long")))

    async def _hand_over(self) -> None:
        async with self._handing_over:
            if self._untaken:  # nothing follows a text that was not taken, also when the model has ended since
                raise self._untaken
            text, self._text = "".join(self._text), []
            if text:
                self._untaken = Unavailable(self._server, "a piece was not taken")
                try:
                    await self._on_text(text)
                except Exception as exc:
                    self._untaken = exc
                    raise
                self._untaken = None

    def _read(self) -> None:
        """Called by the connection after each read."""
        if self._said.done:
            return self._response.body.clear()
        self._heard_at = self._clock()
        try:
            self._read_events() if self._response.status in (200, None) else self._read_problem()
        except Unavailable as exc:
            return self._fail(self._broken_off(exc))
        except (Refused, Invalid) as exc:
            return self._fail(exc)
        if self._said.done or self._response.complete or self._response.lost:
            return self._finish()
        if self.first_piece_at:
            self._connection.pause()
        return None

    def _read_events(self) -> None:
        *lines, rest = self._response.body.split(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise ModelFailed(self._server, "sent an event without an end")
        self._response.body = rest
        for line in [*lines, rest] if self._response.complete else lines:
            if self._said.done:
                return
            if line.startswith(b"data:"):
                self._events += 1
                if text := self._dialect.read(bytes(line[5:].strip()), self._said):
                    self._keep(text)
        if self._response.lost and not self._said.finish:
            raise Unavailable(self._server, self._response.lost)
        if self._response.complete and self._dialect.says_that_it_ended and not self._said.finish:
            events = "its stream ended before the answer did" if self._events else "what it sent is no event stream"
            raise ModelFailed(self._server, events)

    def _keep(self, piece: str) -> None:
        self.pieces += 1
        if text := self._stop.feed(piece):
            self._text.append(text)
        if self.first_piece_at is None:
            self.first_piece_at = now_ms()
            self._pace.flush_at_once(self)
        if self._stop.found:
            self._said.finish, self._said.done = "completed", True
            self._connection.abort()  # a model that does not look for it would go on

    def _read_problem(self) -> None:
        response = self._response
        if response.complete or response.lost or len(response.body) > _LONGEST_LINE:
            raise self._dialect.problem(response.status or 0, bytes(response.body))

    def _broken_off(self, exc: Unavailable) -> Unavailable:
        """Before its first word a server is waited for, as one that is away; after it the answer has broken off."""
        return ModelFailed(self._server, exc.reason) if self.first_piece_at else exc

    def _finish(self) -> None:
        if not self._finished.done():
            self._pace.remove(self)
            self._finished.set_result(False)

    def _fail(self, exc: Exception) -> None:
        if not self._finished.done():
            self._finished.set_exception(exc)
            self.close()
