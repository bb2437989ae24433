"""What was checked, how often, and what failed."""

from dataclasses import dataclass, field

KEPT = 100  # failures of one check that are told one by one


@dataclass(frozen=True)
class Failure:
    """One thing that should not be. `place`: topic/partition:offset of the record that shows it."""

    place: str
    says: str


@dataclass
class Check:
    """One promise."""

    name: str
    checked: int = 0
    failed: int = 0
    failures: list[Failure] = field(default_factory=list)
    skipped: str | None = None

    def passed(self) -> None:
        """It held once more."""
        self.checked += 1

    def fail(self, place: str, says: str) -> None:
        """It did not hold."""
        self.checked += 1
        self.failed += 1
        if len(self.failures) < KEPT:
            self.failures.append(Failure(place, says))

    def that(self, holds: bool, place: str, says: str) -> bool:
        """Notes whether it held."""
        if holds:
            self.passed()
        else:
            self.fail(place, says)
        return holds


@dataclass(frozen=True)
class Report:
    """All checks in order, and what is worth knowing besides."""

    checks: list[Check]
    notes: list[str]
    records: int
    seconds: float

    @property
    def failed(self) -> int:
        """How many failures there are in all."""
        return sum(check.failed for check in self.checks)
