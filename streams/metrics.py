"""What a worker counts: held, running and waiting events, outcomes, dead letters, redeliveries, lag, rebalances."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class WorkerMetrics:
    """The metrics of one worker, in a registry of its own process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"turnlog_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"turnlog_{name}", text, labels, registry=registry)

        self.held = gauge("events_held", "Events taken from Kafka and not finished")
        self.held_bytes = gauge("events_held_bytes", "Bytes of the events that are held")
        self.oldest = gauge("oldest_held_seconds", "How long the oldest held event has been held")
        self.running = gauge("steps_running", "Handlers that run now")
        self.waiting = gauge("steps_waiting", "Events that back off: a server is away, or their handler crashed")
        self.outcomes = counter("events", "Events finished, by how", "topic", "step", "outcome")
        self.crashes = counter("handler_crashes", "Exceptions nobody foresaw in a handler", "topic", "step")
        self.dead_letters = counter("dead_letters", "Records that could not be read", "topic")
        self.in_a_row = gauge("dead_letters_in_a_row", "Dead letters since the last readable record", "topic")
        self.redeliveries = counter("redeliveries", "Records that came again while held or just finished", "topic")
        self.rebalances = counter("rebalances", "Times that partitions were assigned anew")
        self.lag = gauge("lag", "Records that are not committed yet: end offset less committed", "topic", "partition")
