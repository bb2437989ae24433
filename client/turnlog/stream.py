"""What a turn's events mean, and what becomes of an answer as they come."""

from typing import Any

from turnlog.errors import TurnlogError
from turnlog.model import Delta, Ended, Passage, Passages, Progress, Restart, StreamItem, Waiting, read
from turnlog.sse import ServerEvent


def item_of(event: ServerEvent) -> StreamItem | None:
    """What an event means; None for events of a newer server."""
    data: dict[str, Any] = event.data
    match event.name:
        case "delta":
            return Delta(text=data["text"])
        case "passages":
            return Passages(passages=tuple(Passage.of(told) for told in data["passages"]))
        case "waiting":
            return Waiting(server=data["server"])
        case "restart":
            return Restart()
        case "queued" | "retrieving":
            return Progress(stage=event.name)
        case "ended":
            return read(Ended, data)
    return None


class Answer:
    """What has come of an answer so far; `take` every item, in order."""

    def __init__(self) -> None:
        self.text = ""
        self.passages: tuple[Passage, ...] = ()
        self.ended: Ended | None = None

    def take(self, item: StreamItem) -> None:
        """Takes an item; raises TurnlogError when the end says that characters are missing."""
        match item:
            case Delta(text=text):
                self.text += text
            case Passages(passages=passages):
                self.passages = passages
            case Restart():
                self.text, self.passages = "", ()
            case Ended(length=length):
                if length != len(self.text):
                    raise TurnlogError(
                        f"The answer has {length} characters, {len(self.text)} arrived", "Ask for it again."
                    )
                self.ended = item

    @property
    def cited(self) -> tuple[Passage, ...]:
        """The passages that the text names, in the order of their numbers."""
        return tuple(passage for passage in self.passages if f"[{passage.number}]" in self.text)
