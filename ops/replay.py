"""What `turnlog replay` does: reads the topics, notes why words are shown, and prints lines or JSON."""

import os
import pwd
import sys
from base64 import b64encode
from dataclasses import dataclass

from audit.choice import Choice, moment_of
from audit.opened import Told, open_replay
from audit.story import as_json, as_text
from audit.words import Prompt, Reading
from infra.settings import Settings
from ops.at_servers import done, settings_here
from schemas.errors import Invalid
from turnlog.commands.terminal import notes, say, say_json
from turnlog.errors import TurnlogError

HELP = "`turnlog replay --help` shows examples."
FEW = 50_000


@dataclass(frozen=True)
class Asked:
    """What the command line said."""

    turn: str | None
    conversation: str | None
    user: str | None
    document: str | None
    accesses: bool
    since: str | None
    until: str | None
    reason: str | None

    def choice(self) -> Choice:
        """Raises TurnlogError."""
        try:
            return Choice(
                turn=self.turn,
                conversation=self.conversation,
                user=self.user,
                document=self.document,
                accesses=self.accesses,
                since=None if self.since is None else moment_of(self.since),
                until=None if self.until is None else moment_of(self.until),
            )
        except Invalid as exc:
            raise TurnlogError(f"{exc}", HELP) from exc

    def reading(self, choice: Choice) -> Reading | None:
        """Who reads words and why; None: nobody does. Raises TurnlogError."""
        if self.reason is None:
            return None
        try:
            return Reading(f"operator:{account(os.getuid())}", "command", choice.said, self.reason)
        except Invalid as exc:
            raise TurnlogError(f"{exc}", HELP) from exc


def account(uid: int) -> str:
    """Its name, as the system knows it: whoever looks can choose every variable of their environment."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"


def show(asked: Asked, *, json: bool) -> None:
    """Prints the lines; raises TurnlogError when there are none where some were to be expected.

    To look for accesses and find none is good news, and to a program that asks for many none are a list, too.
    """
    choice = asked.choice()
    reading = asked.reading(choice)
    told = done(_told(settings_here(), choice, reading))
    if not told.lines and not choice.accesses and (choice.is_of_one or not json):
        raise TurnlogError(f"The log holds nothing of {choice.said}.", "Is the id whole? Was it this installation?")
    if json:
        say_json([as_json(line, told.words.get(number)) for number, line in enumerate(told.lines)])
        return
    if not told.lines:
        notes.print("Nobody was shown people's words.")
        return
    for text in as_text(told.lines, told.words):
        say(text, end="\n")
    notes.print(f"{len(told.lines)} lines; {told.found.read:,} records were looked at.")
    if reading is None and any(line.words for line in told.lines):
        notes.print("People's words are left out: --reason shows them, and is noted on the log.")


def show_prompt(asked: Asked, *, json: bool) -> None:
    """Writes the exact bytes that the model of a turn was sent, or tells of them; raises TurnlogError."""
    choice = asked.choice()
    reading = asked.reading(choice)
    if choice.turn is None:
        raise TurnlogError("The input of a model belongs to one turn.", "Name it: --turn ID --prompt.")
    if reading is None:
        raise TurnlogError(
            "The model's whole input is people's words: say why you read it.", 'For example: --reason "complaint 4711".'
        )
    found = done(_prompt(settings_here(), choice, reading))
    if json:
        say_json(told_prompt(found))
        return
    sys.stdout.buffer.write(found.content)
    sys.stdout.flush()


def told_prompt(prompt: Prompt) -> dict[str, str]:
    """For programs: `prompt` where the bytes are UTF-8, else `prompt_base64`, so that none is changed."""
    found = {"turn_id": prompt.turn_id, "place": prompt.place, "format": prompt.format}
    try:
        return found | {"prompt": prompt.content.decode()}
    except UnicodeDecodeError:
        return found | {"prompt_base64": b64encode(prompt.content).decode()}


async def _told(settings: Settings, choice: Choice, reading: Reading | None) -> Told:
    async with open_replay(settings, words=reading is not None) as replay:
        return await replay.told(choice, reading, heard=_progress)


async def _prompt(settings: Settings, choice: Choice, reading: Reading) -> Prompt:
    async with open_replay(settings, words=True) as replay:
        found = await replay.prompt(choice, reading)
    if found is None:
        raise Invalid(f"the log holds no answer of {choice.said}: it is not there, or not answered yet")
    return found


def _progress(topic: str, records: int) -> None:
    if records > FEW:
        notes.print(f"looking at {records:,} records of {topic} ...")
