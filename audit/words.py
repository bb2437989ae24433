"""People's words, shown only with a reason, which is on the log before they are."""

from collections.abc import Sequence
from dataclasses import dataclass

from audit.story import Line
from infra.kafka.publisher import Publisher
from infra.objects import Objects
from schemas.audit import AuditAccessed
from schemas.errors import Invalid
from schemas.event import Content
from topics.catalogue import AUDIT_ACCESSES

MOST = 10_000  # turns and documents whose words one look may show
REASON_CHARACTERS = 1000


@dataclass(frozen=True)
class Prompt:
    """The exact input of a turn's model. `format`: text, or messages (a JSON list); `place`: of the record with it."""

    turn_id: str
    place: str
    format: str
    content: bytes


class Reading:
    """One look at people's words: who looks, by which way, at what, and why. Raises Invalid for no reason at all."""

    def __init__(self, auditor: str, via: str, asked_for: str, reason: str) -> None:
        self._auditor, self._via, self._asked_for, self._reason = auditor, via, asked_for, reason.strip()
        if not self._reason or len(self._reason) > REASON_CHARACTERS or not self._reason.isprintable():
            raise Invalid(f"a reason is a line of 1 to {REASON_CHARACTERS} characters: it stays on the log for ever")

    async def words(self, lines: Sequence[Line], publisher: Publisher, objects: Objects) -> dict[int, dict[str, str]]:
        """The words of lines, by their number; raises Invalid or Unavailable before any word is shown."""
        shown = {number: line for number, line in enumerate(lines) if line.words}
        await self._tell(list(shown.values()), publisher, prompt=False)
        return {
            number: {name: await _text(content, objects) for name, content in line.words.items()}
            for number, line in shown.items()
        }

    async def prompt(self, line: Line, publisher: Publisher, objects: Objects) -> Prompt:
        """The exact input of the model in a turn's record."""
        if line.prompt is None or line.turn_id is None:
            raise Invalid("nothing was sent to a model in this turn")
        await self._tell([line], publisher, prompt=True)
        return Prompt(line.turn_id, line.place, line.prompt_format, await objects.read(line.prompt))

    async def _tell(self, lines: Sequence[Line], publisher: Publisher, *, prompt: bool) -> None:
        turns = sorted({line.turn_id for line in lines if line.turn_id})
        documents = sorted({line.document for line in lines if line.document})
        if len(turns) + len(documents) > MOST:
            raise Invalid(f"these are the words of more than {MOST} turns and documents: ask for less at once")
        event = AuditAccessed(
            auditor=self._auditor,
            via=self._via,
            asked_for=self._asked_for,
            reason=self._reason,
            turns=turns,
            documents=documents,
            prompt=prompt,
        )
        await publisher.publish(AUDIT_ACCESSES, self._auditor, event)


async def _text(content: Content, objects: Objects) -> str:
    try:
        return (await objects.read(content)).decode("utf-8", "replace")
    except Invalid as exc:
        return f"({exc})"
