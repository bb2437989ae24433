"""Numbered tokens: what the mock model says, when, and what of it was lost, doubled or mixed up on the way."""

import re
from dataclasses import asdict, dataclass

ASKED = re.compile(r"race: (\d+) tokens, the first after (\d+) ms, (\d+) ms apart, for (\w+)")


@dataclass(frozen=True)
class Schedule:
    """`count` tokens, the first after `first_ms`, then one each `apart_ms`; `name` tells one answer from the others."""

    count: int = 64
    first_ms: int = 20
    apart_ms: int = 5
    name: str = "nobody"

    @property
    def question(self) -> str:
        """What to ask the mock model."""
        return (
            f"race: {self.count} tokens, the first after {self.first_ms} ms, {self.apart_ms} ms apart, for {self.name}"
        )

    @classmethod
    def parsed(cls, question: str) -> "Schedule":
        """The schedule that a question asks for; one token for any other question."""
        found = ASKED.search(question)
        if found is None:
            return cls(count=1)
        return cls(int(found[1]), int(found[2]), max(1, int(found[3])), found[4])

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(map(token, range(1, self.count + 1)))


@dataclass(frozen=True)
class Faults:
    """Numbers that are missing, that came again, that came after a larger one; words that nobody said."""

    lost: int = 0
    doubled: int = 0
    mixed_up: int = 0
    strange: int = 0

    def __bool__(self) -> bool:
        return any(asdict(self).values())

    def __add__(self, other: "Faults") -> "Faults":
        return Faults(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


def token(number: int) -> str:
    """Of the numbers from 1 up."""
    return f"t{number}" if number == 1 else f" t{number}"


def faults(text: str, count: int) -> Faults:
    """What is wrong with an answer of `count` tokens."""
    seen, last = set[int](), 0
    doubled = mixed_up = strange = 0
    for word in text.split(" "):
        number = int(word[1:]) if re.fullmatch(r"t[1-9][0-9]*", word, re.ASCII) else 0
        if not 1 <= number <= count:
            strange += word != "" or text != ""
        elif number in seen:
            doubled += 1
        else:
            mixed_up += number < last
            last = max(last, number)
            seen.add(number)
    return Faults(count - len(seen), doubled, mixed_up, strange)
