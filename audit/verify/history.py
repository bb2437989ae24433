"""What the log says of documents and collections at any offset, to judge what a model was shown at the time."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from infra.access import PUBLIC
from schemas.access import CollectionCreated, CollectionDeleted, CollectionReadersChanged
from schemas.documents import DocumentAccepted, DocumentWithdrawn
from topics.catalogue import document_key

Readers = frozenset[str] | None  # None: those of the collection


@dataclass(frozen=True)
class Change:
    """One step of a collection: whom its readers are from here on; None: it is gone."""

    offset: int
    at: int
    readers: frozenset[str] | None


class Documents:
    """Every version and every withdrawal, by key; a version is its offset on the key's partition."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Readers]] = defaultdict(dict)
        self._withdrawn: dict[str, list[int]] = defaultdict(list)
        self._partition: dict[str, int] = {}

    def see(self, event: DocumentAccepted | DocumentWithdrawn, partition: int, offset: int) -> None:
        """The next event of a document."""
        key = document_key(event.collection_id, event.document_id)
        self._partition[key] = partition
        if isinstance(event, DocumentAccepted):
            self._versions[key][offset] = None if event.readers is None else frozenset(event.readers)
        else:
            self._withdrawn[key].append(offset)

    def partition(self, key: str) -> int | None:
        """Where the document's events lie; None: there are none."""
        return self._partition.get(key)

    def existed(self, key: str, version: int) -> bool:
        """Whether this version was ever accepted."""
        return version in self._versions.get(key, {})

    def withdrawn(self, key: str, version: int, before: int) -> int | None:
        """The offset of a withdrawal that hid this version and lies before an offset."""
        offsets = self._withdrawn.get(key, [])
        at = bisect_left(offsets, version)
        return offsets[at] if at < len(offsets) and offsets[at] < before else None

    def readers(self, key: str, version: int, before: int) -> list[Readers]:
        """Whom the version names, and the newest version that lies before an offset: both must allow a reader."""
        versions = self._versions[key]
        newest = max((offset for offset in versions if offset < before), default=version)
        return [versions[version], versions[max(newest, version)]]


class Collections:
    """Every change of every collection's readers."""

    def __init__(self) -> None:
        self._owner: dict[str, str] = {}
        self._changes: dict[str, list[Change]] = defaultdict(list)
        self._partition: dict[str, int] = {}

    def see(
        self, event: CollectionCreated | CollectionReadersChanged | CollectionDeleted, partition: int, offset: int
    ) -> None:
        """The next event of a collection."""
        name = event.collection_id
        self._partition[name] = partition
        if isinstance(event, CollectionCreated):
            if name in self._owner:
                return  # a name is given once
            self._owner[name] = event.owner
        readers = None if isinstance(event, CollectionDeleted) else frozenset(event.readers)
        self._changes[name].append(Change(offset, event.occurred_at, readers))

    def partition(self, name: str) -> int | None:
        """Where the collection's events lie; None: there are none."""
        return self._partition.get(name)

    def readable(self, name: str, principals: Collection[str], folded: int, until: int) -> bool:
        """Whether it was readable as the views had folded it, or by a change made before the answer ended (ms)."""
        return any(
            readers is not None
            and (f"user:{self._owner.get(name)}" in principals or not readers.isdisjoint(principals))
            for readers in self._states(name, folded, until)
        )

    def _states(self, name: str, folded: int, until: int) -> Iterator[frozenset[str] | None]:
        last: frozenset[str] | None = None
        deleted = False
        for change in self._changes.get(name, []):
            if change.offset >= folded:
                break
            deleted = deleted or change.readers is None
            last = None if deleted else change.readers
        yield last
        for change in self._changes.get(name, []):
            if change.offset >= folded and change.at <= until and not deleted:
                yield change.readers


def allowed(readers: Readers, principals: Collection[str]) -> bool:
    """Whether a document's own readers name one of these principals; None leaves it to the collection."""
    return readers is None or not readers.isdisjoint(principals) or PUBLIC in readers
