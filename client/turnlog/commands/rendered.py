"""Markdown on a terminal, while it is still being written."""

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner

from turnlog.commands.terminal import printable
from turnlog.model import Delta, Progress, Restart, StreamItem, Waiting

FENCE = re.compile(r" {0,3}(```+|~~~+)")
AGAIN_SECONDS = 0.1
PARSER = {"html": False}  # a tag is shown as the letters that it is: none may vanish


class Rendered:
    """Blocks that are whole are printed and stay; only the one that still grows is drawn again and again."""

    def __init__(self, console: Console) -> None:
        self._console, self._text, self._blocks = console, "", 0
        self._live = Live(console=console, transient=True, refresh_per_second=1 / AGAIN_SECONDS)
        self._live.start()

    def take(self, item: StreamItem) -> None:
        """Shows what came."""
        match item:
            case Delta(text=text):
                self._text += printable(text)
                self._settle(whole_until(self._text))
                self._live.update(Tail(self._text))
            case Waiting(server=server):
                self._live.update(Spinner("dots", f"waiting for {printable(server)} ...", style="dim"))
            case Restart():
                self._text = ""
                self._console.print("[a worker was lost; the answer begins anew]", style="dim", markup=False)
            case Progress(stage=stage):
                self._live.update(
                    Spinner("dots", "searching ..." if stage == "retrieving" else "waiting for its turn ...")
                )

    def close(self) -> None:
        """The end, or as far as it came."""
        self._live.stop()
        self._settle(len(self._text))

    def _settle(self, end: int) -> None:
        block, self._text = self._text[:end], self._text[end:]
        if block.strip():
            if self._blocks:
                self._console.print()
            self._console.print(markdown(block))
            self._blocks += 1


@dataclass(frozen=True)
class Tail:
    """The end of a block, as much of it as the terminal holds."""

    text: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(markdown(self.text), options, pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()


def markdown(text: str) -> Markdown:
    """Links show where they lead, and tags are letters."""
    shown = Markdown(text, hyperlinks=False)
    shown.parsed = MarkdownIt("commonmark", PARSER).enable("strikethrough").enable("table").parse(text)
    return shown


def whole_until(text: str) -> int:
    """How many characters belong to blocks that nothing which follows can change: up to a blank line before a new one.

    A line that begins with a space may still belong to the list above it.
    """
    fence, start, whole = "", 0, 0
    blank = False
    for line in text.splitlines(keepends=True):
        if blank and not fence and not line[0].isspace():
            whole = start
        blank = not line.strip()
        if (found := FENCE.match(line)) and (not fence or found[1].startswith(fence)):
            fence = "" if fence else found[1]
        start += len(line)
    return whole
