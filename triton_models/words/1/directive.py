"""What a question may ask of the paced model: `words: count=64 delay_ms=5 fail_after=9 marker=a`, all optional."""

import re
from dataclasses import dataclass

QUESTION = re.compile(r"<question>\n(.*?)\n</question>", re.DOTALL)
DIRECTIVE = re.compile(r"\bwords:((?:\s+\w+=\S+)+)")
PART = re.compile(r"(\w+)=(\S+)")
MOST_WORDS = 1_000_000
LONGEST_DELAY_MS = 600_000


@dataclass(frozen=True)
class Directive:
    """`count` words, `delay_ms` apart; an error after `fail_after` of them; `marker` names the turn in the log.

    `cut`: more words were asked for than tokens allowed.
    """

    count: int = 64
    delay_ms: float = 5.0
    fail_after: int | None = None
    marker: str = "-"
    cut: bool = False

    @property
    def fails(self):
        return self.fail_after is not None and self.fail_after < self.count

    @property
    def finish_reason(self):
        """Why its words end, as vLLM says it; None when they end in an error."""
        return None if self.fails else "length" if self.cut else "stop"

    @property
    def words(self):
        """How many words a stream sends before it ends or fails."""
        return self.fail_after if self.fails else self.count

    def at(self, word):
        """When a word is due, in seconds after the start; the first is number 0."""
        return word * self.delay_ms / 1000

    def due(self, seconds):
        """How many words are due by then."""
        return int(min(self.words, 1 + seconds * 1000 / self.delay_ms)) if self.delay_ms else self.words

    def text(self, begin, end):
        """The words from number `begin` to before number `end`."""
        return "".join(f"w{number + 1} " for number in range(begin, end))


def read(text, max_tokens=None):
    """The directive in the question, or in the whole text when it has no frame; ValueError beyond its bounds."""
    asked = QUESTION.findall(text)
    found = DIRECTIVE.findall(asked[-1] if asked else text)
    parts = dict(PART.findall(found[-1])) if found else {}
    count = int(parts.get("count", Directive.count))
    wanted = Directive(
        count=count if max_tokens is None else min(count, max_tokens),
        delay_ms=float(parts.get("delay_ms", Directive.delay_ms)),
        fail_after=int(parts["fail_after"]) if "fail_after" in parts else None,
        marker=parts.get("marker", Directive.marker),
        cut=max_tokens is not None and max_tokens < count,
    )
    if not 0 <= count <= MOST_WORDS:
        raise ValueError(f"count is 0 to {MOST_WORDS}")
    if not 0 <= wanted.delay_ms <= LONGEST_DELAY_MS:
        raise ValueError(f"delay_ms is 0 to {LONGEST_DELAY_MS}")
    if wanted.fail_after is not None and wanted.fail_after < 0:
        raise ValueError("fail_after is 0 or more")
    return wanted
