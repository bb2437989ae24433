"""What the views worker says of itself: on /ready, and in its metrics."""

from prometheus_client import Counter

from infra.health import Health
from infra.postgres.freshness import Offsets
from streams.metrics import WorkerMetrics


class Progress:
    """How far the folds are, and what they wait for."""

    def __init__(self, health: Health, metrics: WorkerMetrics) -> None:
        self._health, self._metrics = health, metrics
        self._count = Counter("turnlog_folded", "Records folded into the views", ["topic"], registry=health.registry)
        self.folded: Offsets = {}
        self.ends: Offsets = {}
        health.missing("views", "starting")

    def waits(self, reason: str) -> None:
        """A server is away."""
        self._health.missing("views", reason)

    def stands_by(self) -> None:
        """Another worker folds; this one is ready to take over."""
        self._health.there("views")

    def moved(self, folded: Offsets) -> None:
        """Some partitions are folded up to here."""
        for (topic, partition), offset in folded.items():
            if before := self.folded.get((topic, partition)):
                self._count.labels(topic).inc(max(0, offset - before))
        self.folded |= folded
        self._show(folded)

    def ends_at(self, ends: Offsets) -> None:
        """The partitions end here now."""
        self.ends = ends
        self._show(ends)

    @property
    def behind(self) -> int:
        """Records between what is folded and the ends seen last."""
        return sum(max(0, end - self.folded.get(place, 0)) for place, end in self.ends.items())

    def _show(self, places: Offsets) -> None:
        for place in places:
            behind = max(0, self.ends.get(place, 0) - self.folded.get(place, 0))
            self._metrics.lag.labels(place[0], str(place[1])).set(behind)
        if self.ends and self.behind == 0:
            self._health.there("views")
