"""What models were shown: versions that existed, were not withdrawn, and that the asker could read."""

from collections.abc import Mapping

from audit.verify.checks import Check
from audit.verify.history import Collections, Documents, Readers, allowed
from schemas.answers import AnswerRecorded, ShownPassage
from topics.catalogue import ACCESS_CHANGES, DOCUMENTS, document_key

Folded = Mapping[tuple[str, int | None], int]


class Shown:
    """Judges the passages and citations of records."""

    def __init__(self, documents: Documents, collections: Collections) -> None:
        self._documents, self._collections = documents, collections
        self.cited = Check("citations name a passage that was shown")
        self.existed = Check("what was shown existed, and was not withdrawn as far as the views had folded")
        self.readable = Check("what was shown could be read with the rights recorded")

    def judge(self, record: AnswerRecorded, place: str) -> None:
        """One record."""
        numbers = {passage.number for passage in record.passages}
        for citation in record.citations:
            held = citation.number in numbers and 0 <= citation.position <= record.length
            says = f"turn {record.turn_id}: [{citation.number}] at character {citation.position} names nothing shown"
            self.cited.that(held, place, says)
        views = record.permissions.views if record.permissions else []
        folded: Folded = {(view.topic, view.partition): view.offset for view in views}
        for passage in record.passages:
            self._existed(record, passage, folded, place)
            self._readable(record, passage, folded, place)

    def _existed(self, record: AnswerRecorded, passage: ShownPassage, folded: Folded, place: str) -> None:
        key = document_key(passage.collection_id, passage.document_id)
        said = f"turn {record.turn_id}: [{passage.number}] {key} version {passage.version}"
        if not self._documents.existed(key, passage.version):
            self.existed.fail(place, f"{said}: there is no such version on `documents`")
            return
        partition = self._documents.partition(key)
        before = folded.get((DOCUMENTS.name, partition))
        if before is None:
            self.existed.fail(place, f"{said}: the record does not say how far documents/{partition} was folded")
            return
        withdrawn = self._documents.withdrawn(key, passage.version, before)
        says = f"{said} was withdrawn at documents/{partition}:{withdrawn}, and the views had folded up to {before}"
        self.existed.that(withdrawn is None, place, says)

    def _readable(self, record: AnswerRecorded, passage: ShownPassage, folded: Folded, place: str) -> None:
        key = document_key(passage.collection_id, passage.document_id)
        said = f"turn {record.turn_id}: [{passage.number}] {key}"
        if record.permissions is None:
            self.readable.fail(place, f"{said} was shown, and no rights are recorded")
            return
        principals = record.permissions.principals
        at = self._collections.partition(passage.collection_id)
        before = folded.get((ACCESS_CHANGES.name, at), 0 if at is None else None)
        if before is None:
            self.readable.fail(place, f"{said}: the record does not say how far access-changes/{at} was folded")
            return
        if not self._collections.readable(passage.collection_id, principals, before, record.timings.ended_at):
            says = f"{said}: its collection could not be read by {', '.join(principals)}"
            self.readable.fail(place, f"{says}, as far as the views had folded (access-changes/{at}:{before})")
            return
        own: list[Readers] = [None]
        if self._documents.existed(key, passage.version):
            before = folded.get((DOCUMENTS.name, self._documents.partition(key)), 0)
            own = self._documents.readers(key, passage.version, before)
        held = all(allowed(readers, principals) for readers in own)
        self.readable.that(held, place, f"{said}: its own readers are not {', '.join(principals)}")
