"""Read your writes: where the newest writes lie on the server's log, for the reads after them."""

MOST = 16  # places that a request may name


class Seen:
    """The newest place of each partition. Many tasks may write through one client: none hides another's write."""

    def __init__(self) -> None:
        self._offsets: dict[str, int] = {}

    def take(self, told: str) -> None:
        """Notes `topic/partition:offset`, several apart by commas, as an answer tells it."""
        for place in told.split(","):
            partition, _, offset = place.strip().rpartition(":")
            if partition and offset.isdigit():
                self._offsets[partition] = max(int(offset), self._offsets.pop(partition, 0))  # now the newest one
        for old in list(self._offsets)[:-MOST]:
            del self._offsets[old]

    def __str__(self) -> str:
        return ",".join(f"{partition}:{offset}" for partition, offset in self._offsets.items())
