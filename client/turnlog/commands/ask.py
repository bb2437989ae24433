"""`turnlog ask`: a question, the answer as it comes, and where it stands written."""

import sys
from typing import Annotated

import typer

from turnlog.commands.answering import Plain, Silent, StopsOnInterrupt, show_sources, told
from turnlog.commands.terminal import Conversation, Json, Key, Model, Url, Within, notes, opened, say_json
from turnlog.model import Turn
from turnlog.stream import Answer

EXIT_STOPPED = 130


def ask(
    question: Annotated[list[str], typer.Argument(help="The question; quotes are not needed. - reads it from stdin.")],
    conversation: Conversation = None,
    model: Model = None,
    collection: Within = None,
    json: Json = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Asks a question and streams the answer, with the passages it cites.

    Ctrl-C stops the answer and keeps what there is. A cut connection goes on where it broke.

    Examples:

      turnlog ask "What happens when a worker is killed?"

      turnlog ask --in handbook --in wiki who is on call tonight

      turnlog ask -c 0199... and tomorrow?

      git diff | turnlog ask -
    """
    words = sys.stdin.read() if question == ["-"] else " ".join(question)
    with opened(url, key) as server, StopsOnInterrupt(server) as stops:
        turn = server.ask(words, conversation_id=conversation, model=model, collections=collection)
        stops.asked(turn)
        answer, shown = Answer(), Silent() if json else Plain()
        for item in server.events(turn.turn_id):
            answer.take(item)
            shown.take(item)
        shown.close()
    if json:
        say_json(told(turn, answer))
    else:
        _show_end(turn, answer)
    if answer.ended is None or answer.ended.status == "failed":
        raise typer.Exit(1)
    if answer.ended.status == "stopped":
        raise typer.Exit(EXIT_STOPPED)


def _show_end(turn: Turn, answer: Answer) -> None:
    show_sources(answer)
    if answer.ended and answer.ended.status == "stopped":
        notes.print("[stopped]")
    if notes.is_terminal:
        notes.print(f"Go on: turnlog ask -c {turn.conversation_id} ...", style="dim")
