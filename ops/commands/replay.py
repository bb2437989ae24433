"""`turnlog replay`: what was asked, with which rights, what the model was shown and said, from the log alone."""

from typing import Annotated

import typer

from turnlog.commands.terminal import Json


def replay(
    turn: Annotated[str | None, typer.Option(help="A turn, by its id.")] = None,
    conversation: Annotated[str | None, typer.Option(help="All turns of a conversation, by its id.")] = None,
    user: Annotated[str | None, typer.Option(help="What a user asked, and what changed of its rights.")] = None,
    document: Annotated[
        str | None, typer.Option(help="COLLECTION/DOCUMENT: its versions, and the answers that were shown it.")
    ] = None,
    accesses: Annotated[bool, typer.Option("--accesses", help="Who read people's words, and why.")] = False,
    since: Annotated[
        str | None, typer.Option("--from", help="From this time: 2026-03-01T09:30 (UTC), or 2h for two hours ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Up to this time.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Show people's words, too. Why you do is noted on the log, for ever.")
    ] = None,
    prompt: Annotated[
        bool, typer.Option("--prompt", help="Only the exact bytes the model of --turn was sent; needs --reason.")
    ] = False,
    json: Json = False,
) -> None:
    """Tells what happened, from the topics alone, each line with topic/partition:offset.

    Without --reason it tells who, when, which, how many and how long, and nobody's words.

    Examples:

      turnlog replay --turn 019aa5ed-8c80-7b22-b777-d4dd1fc61c6f

      turnlog replay --user ada --from 7d --json | jq '.[].says'

      turnlog replay --conversation 019aa5ed-8c81-7000-8000-d4dd1fc61c6f --reason "complaint 4711"

      turnlog replay --turn 019aa5ed-8c80-7b22-b777-d4dd1fc61c6f --prompt --reason "complaint 4711" > prompt.txt

      turnlog replay --turn 019aa5ed-8c80-7b22-b777-d4dd1fc61c6f --prompt --reason "complaint 4711" --json | jq .format
    """
    from ops.replay import Asked, show, show_prompt

    asked = Asked(turn, conversation, user, document, accesses, since, until, reason)
    if prompt:
        show_prompt(asked, json=json)
    else:
        show(asked, json=json)
