"""How an answer is shown while it comes, and what Ctrl-C does to it."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Protocol

from turnlog import Turnlog
from turnlog.commands.terminal import notes, printable, say, show_problem
from turnlog.errors import TurnlogError
from turnlog.model import Delta, Ended, Passage, Progress, Restart, StreamItem, Turn, Waiting
from turnlog.stream import Answer


class Shown(Protocol):
    """Where an answer is shown: as it is, or rendered."""

    def take(self, item: StreamItem) -> None:
        """Shows what came."""

    def close(self) -> None:
        """The end, or as far as it came."""


class Plain:
    """The answer's own letters on stdout, and everything else on stderr."""

    def take(self, item: StreamItem) -> None:
        """Shows what came."""
        match item:
            case Delta(text=text):
                say(text)
            case Waiting(server=server):
                notes.print(f"[waiting for {server}]")
            case Restart():
                notes.print("\n[a worker was lost; the answer begins anew]")
            case Progress(stage="retrieving") if notes.is_terminal:
                notes.print("searching ...", style="dim")

    def close(self) -> None:
        """The end of the line."""
        say("", end="\n")


class Silent:
    """For programs, which are told everything at the end."""

    def take(self, item: StreamItem) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Shows nothing."""


class StopsOnInterrupt:
    """Within it, Ctrl-C stops the turn on the server, and its stream then comes to its end by itself.

    So nothing that was said is lost. A second Ctrl-C does not wait for that end: it is a KeyboardInterrupt.
    """

    def __init__(self, server: Turnlog) -> None:
        self._server, self._turn_id, self._pressed = server, "", False

    def __enter__(self) -> "StopsOnInterrupt":
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.signal(signal.SIGINT, self._before)

    def asked(self, turn: Turn) -> None:
        """From now on there is something to stop."""
        self._turn_id = turn.turn_id
        if self._pressed:
            self._stop()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True
        if self._turn_id:
            self._stop()

    def _stop(self) -> None:
        threading.Thread(target=self._ask_to_stop, daemon=True).start()  # this thread waits for the stream

    def _ask_to_stop(self) -> None:
        try:
            self._server.stop(self._turn_id)
        except TurnlogError as problem:
            show_problem(problem)


def show_sources(answer: Answer) -> None:
    """The passages that the answer cites, and why it failed when it did."""
    for passage in answer.cited:
        say(f"  {cited(passage)}", end="\n")
    if answer.ended and answer.ended.status == "failed":
        notes.print(f"The answer failed: {printable(answer.ended.reason or 'no reason given')}")


def cited(passage: Passage) -> str:
    """`[1] Title, page 3 (collection/document)`."""
    return f"[{passage.number}] {passage.place} ({passage.collection_id}/{passage.document_id})"


def told(turn: Turn, answer: Answer) -> dict[str, object]:
    """A turn for programs."""
    ended = answer.ended or Ended(status="failed", length=0)
    return {
        "turn_id": turn.turn_id,
        "conversation_id": turn.conversation_id,
        "status": ended.status,
        "reason": ended.reason,
        "text": answer.text,
        "cited": answer.cited,
        "passages": answer.passages,
    }
