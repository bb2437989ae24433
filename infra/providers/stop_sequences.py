"""Where an answer ends because somebody named the words that end it; not every model looks for them itself."""

from collections.abc import Sequence


class StopSequences:
    """Lets the text before the first sequence through, the same however it is cut into pieces."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self.found = False
        self._sequences = [sequence for sequence in sequences if sequence]
        self._held = ""

    def feed(self, piece: str) -> str:
        """What is no part of a sequence for certain; what may be the beginning of one is held back."""
        if not self._sequences:
            return piece
        if self.found:
            return ""
        text = self._held + piece
        ends = [(at + len(each), at) for each in self._sequences if (at := text.find(each)) >= 0]
        self.found = bool(ends)
        through = min(ends)[1] if ends else len(text) - self._beginning(text)
        self._held = "" if ends else text[through:]
        return text[:through]

    def rest(self) -> str:
        """What was held back, when nothing follows."""
        held, self._held = self._held, ""
        return held

    def _beginning(self, text: str) -> int:
        """How many of the last characters may be the beginning of a sequence."""
        longest = max(map(len, self._sequences)) - 1
        return next(
            length
            for length in range(min(longest, len(text)), -1, -1)
            if any(each.startswith(text[len(text) - length :]) for each in self._sequences)
        )
