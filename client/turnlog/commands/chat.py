"""`turnlog chat`: a conversation at the terminal, answers as they come, with their sources."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import typer

from turnlog import Turnlog
from turnlog.commands.answering import Plain, Shown, Silent, StopsOnInterrupt, cited, show_sources, told
from turnlog.commands.quiet_keys import quiet_keys
from turnlog.commands.terminal import (
    Conversation,
    Json,
    Key,
    Model,
    Url,
    Within,
    notes,
    opened,
    printable,
    results,
    say,
    say_json,
    show_problem,
)
from turnlog.errors import TurnlogError
from turnlog.model import Turn
from turnlog.stream import Answer

HELP = """/new      begins another conversation
/sources  all passages that the model was shown for the last answer
/again    shows the last answer again, to its end when it was cut off
/help     this
Ctrl-C stops an answer and keeps what there is; at the prompt it leaves, as Ctrl-D does."""


def chat(
    conversation: Conversation = None,
    model: Model = None,
    collection: Within = None,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Talks with the server: each line is a question, each answer comes as it is made, with the passages it cites.

    Ctrl-C stops an answer and keeps the chat; at the prompt it leaves, as Ctrl-D does. A cut connection goes on
    where it broke. When stdin is no terminal, each of its lines is a question, and none a command; with --json each
    answer is a line.

    Examples:

      turnlog chat

      turnlog chat --in handbook --in wiki

      turnlog chat -c 0199...

      turnlog chat --json < questions.txt | jq -r .text
    """
    with opened(url, key) as server:
        talk = Talk(server, conversation, model, collection, json)
        if conversation:
            talk.take_up(conversation)
        talk.go_on()
    if talk.failed and not sys.stdin.isatty():
        raise typer.Exit(1)


class Talk:
    """One conversation after the other, until whoever asks leaves."""

    def __init__(
        self, server: Turnlog, conversation_id: str | None, model: str | None, collections: list[str] | None, json: bool
    ) -> None:
        self._server, self._conversation_id = server, conversation_id
        self._model, self._collections, self._json = model, collections, json
        self._asks = sys.stdin.isatty()
        self._last: tuple[Turn, Answer] | None = None
        self.failed = False

    def take_up(self, conversation_id: str) -> None:
        """Shows the last turn of a conversation, and follows it when it has not ended."""
        turns = self._server.conversation(conversation_id).turns
        if turns and self._asks:
            notes.print(f"> {printable(turns[-1].question or '')}", style="dim")
            self._show(turns[-1])

    def go_on(self) -> None:
        """Reads and answers until the end of the input."""
        if self._asks:
            with suppress(ImportError):  # not on every system; with it, input() edits and remembers lines
                import readline  # noqa: F401
            notes.print("Ask. Ctrl-C stops an answer, Ctrl-D leaves, /help says more.", style="dim")
        while (line := self._read()) is not None:
            if self._asks and line.startswith("/"):
                self._command(line.split()[0])
            elif line:
                self._answer(line)
        if self._asks and self._conversation_id:
            notes.print(f"Go on: turnlog chat -c {self._conversation_id}", style="dim")

    def _read(self) -> str | None:
        """A line without the spaces around it; None: leave."""
        try:
            if not self._asks:
                return next((words for line in sys.stdin if (words := line.strip())), None)
            if results.is_terminal:
                return input("> ").strip()
            notes.print("> ", end="")
            return input().strip()
        except (EOFError, KeyboardInterrupt):
            notes.print()
            return None

    def _command(self, name: str) -> None:
        if name == "/new":
            self._conversation_id, self._last = None, None
            notes.print("The next question begins another conversation.", style="dim")
        elif name == "/sources" and self._last:
            for passage in self._last[1].passages:
                say(f"  {cited(passage)}", end="\n")
            if not self._last[1].passages:
                notes.print("The model was shown no passages.")
        elif name == "/again" and self._last:
            self._show(self._last[0])
        elif name in ("/sources", "/again"):
            notes.print("Nothing was answered yet.")
        else:
            notes.print(HELP)

    def _answer(self, question: str) -> None:
        with self._told_of_problems(), StopsOnInterrupt(self._server) as stops:
            turn = self._server.ask(
                question, conversation_id=self._conversation_id, model=self._model, collections=self._collections
            )
            self._conversation_id = turn.conversation_id
            stops.asked(turn)
            self._follow(turn)

    def _show(self, turn: Turn) -> None:
        with self._told_of_problems(), StopsOnInterrupt(self._server) as stops:
            stops.asked(turn)
            self._follow(turn)

    def _follow(self, turn: Turn) -> None:
        answer, shown = Answer(), self._shown()
        self._last = turn, answer
        with quiet_keys():
            try:
                for item in self._server.events(turn.turn_id):
                    answer.take(item)
                    shown.take(item)
            finally:
                shown.close()
        self.failed |= answer.ended is None or answer.ended.status == "failed"
        if self._json:
            say_json(told(turn, answer), line=True)
            return
        show_sources(answer)
        if answer.ended and answer.ended.status == "stopped":
            notes.print("[stopped]")

    def _shown(self) -> Shown:
        if self._json:
            return Silent()
        if results.is_dumb_terminal or not results.is_terminal:
            return Plain()
        from turnlog.commands.rendered import Rendered  # no other command waits for its parser

        return Rendered(results)

    @contextmanager
    def _told_of_problems(self) -> Iterator[None]:
        """What goes wrong with one answer does not end the talk of a person; a program's it does."""
        try:
            yield
        except TurnlogError as problem:
            if not self._asks:
                raise
            show_problem(problem)
        except KeyboardInterrupt:
            if not self._asks:
                raise
            notes.print("[left; the server goes on with it: /again shows it]")
