"""Which records of `documents` count: the one rule, for the steps and for the view."""

from dataclasses import dataclass, field
from typing import Literal

from infra.kafka.records import Received
from schemas.documents import DocumentAccepted, DocumentWithdrawn, Source

# seen: decided before (a redelivery). repeated: its inbox record (admitted twice) or its HTTP request (produced again
# for a replica that died) was decided before. outdated: its source_version is lower than one that counted. new: counts.
Verdict = Literal["seen", "repeated", "outdated", "new"]
REQUESTS = 16  # HTTP requests remembered a document: one is produced again within seconds, or not at all


@dataclass(frozen=True)
class Known:
    """What was decided about a document so far. `positions`: of each inbox, `topic/partition`, the next offset."""

    last_offset: int = -1
    positions: dict[str, int] = field(default_factory=dict)
    source_version: int | None = None


def decide(known: Known, received: Received[DocumentAccepted | DocumentWithdrawn]) -> tuple[Verdict, Known]:
    """Whether a record counts, and what is known after it. Records come by offset, and any of them again."""
    event = received.event
    if received.offset <= known.last_offset:
        return "seen", known
    number = event.source_version
    positions = _noted(known.positions, event.source, event.event_id, received.offset)
    if positions is None:
        return "repeated", Known(received.offset, known.positions, known.source_version)
    if number is not None and known.source_version is not None and number < known.source_version:
        return "outdated", Known(received.offset, positions, known.source_version)
    return "new", Known(received.offset, positions, known.source_version if number is None else number)


def _noted(positions: dict[str, int], source: Source, event_id: str, offset: int) -> dict[str, int] | None:
    """The positions with this record's among them; None when it is there already."""
    if source.topic is not None and source.offset is not None:
        place = f"{source.topic}/{source.partition}"
        return None if source.offset < positions.get(place, 0) else positions | {place: source.offset + 1}
    if f"event/{event_id}" in positions:
        return None
    requests = sorted((name for name in positions if name.startswith("event/")), key=positions.__getitem__)
    forgotten = requests[: max(0, len(requests) - REQUESTS + 1)]
    kept = {name: at for name, at in positions.items() if name not in forgotten}
    return kept | {f"event/{event_id}": offset}
