"""`turnlog ask`: a question, the answer as it comes, and where it stands written."""

import sys
from typing import Annotated

import typer

from turnlog import Turnlog
from turnlog.commands.terminal import Json, Key, Url, notes, printable, say, say_json
from turnlog.model import Delta, Ended, Passage, Progress, Restart, StreamItem, Turn, Waiting
from turnlog.stream import Answer

EXIT_STOPPED = 130


def ask(
    question: Annotated[list[str], typer.Argument(help="The question; quotes are not needed. - reads it from stdin.")],
    conversation: Annotated[
        str | None, typer.Option("--conversation", "-c", help="Go on with this conversation.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Model to ask; `turnlog status` lists them.")
    ] = None,
    collection: Annotated[
        list[str] | None, typer.Option("--in", "--collection", help="Search only this collection; repeatable.")
    ] = None,
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
    with Turnlog.open(url, key) as server:
        turn = server.ask(words, conversation_id=conversation, model=model, collections=collection)
        answer, interrupted = _follow(server, turn, quiet=json)
        if json:
            say_json(_told(turn, answer))
        else:
            _show_end(turn, answer)
    if interrupted:
        raise typer.Exit(EXIT_STOPPED)
    if answer.ended is None or answer.ended.status == "failed":
        raise typer.Exit(1)


def _follow(server: Turnlog, turn: Turn, quiet: bool) -> tuple[Answer, bool]:
    """Shows the turn until it has ended; true when the user stopped it. A second Ctrl-C does not wait for the end."""
    shown = Answer()
    try:
        for item in server.events(turn.turn_id):
            shown.take(item)
            if not quiet:
                _show(item)
    except KeyboardInterrupt:
        server.stop(turn.turn_id)
        whole = Answer()
        for item in server.events(turn.turn_id):
            whole.take(item)
        if not quiet:
            say(whole.text.removeprefix(shown.text))
            notes.print("\n[stopped]")
        return whole, True
    return shown, False


def _show(item: StreamItem) -> None:
    match item:
        case Delta(text=text):
            say(text)
        case Waiting(server=server):
            notes.print(f"[waiting for {server}]")
        case Restart():
            notes.print("\n[a worker was lost; the answer begins anew]")
        case Progress(stage=stage) if notes.is_terminal and stage == "retrieving":
            notes.print("searching ...", style="dim")


def _show_end(turn: Turn, answer: Answer) -> None:
    say("", end="\n")
    for passage in answer.cited:
        say(f"  {cited(passage)}", end="\n")
    if answer.ended and answer.ended.status == "failed":
        notes.print(f"The answer failed: {printable(answer.ended.reason or 'no reason given')}")
    if notes.is_terminal:
        notes.print(f"Go on: turnlog ask -c {turn.conversation_id} ...", style="dim")


def cited(passage: Passage) -> str:
    """`[1] Title, page 3 (collection/document)`."""
    return f"[{passage.number}] {passage.place} ({passage.collection_id}/{passage.document_id})"


def _told(turn: Turn, answer: Answer) -> dict[str, object]:
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
