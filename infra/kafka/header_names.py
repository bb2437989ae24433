"""Records whose header names are no UTF-8: a broker takes them, and aiokafka alone would never get past one."""

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

LENGTH_AT, BODY_AT = 8, 12  # of a batch: its length follows the base offset


def take_any_name() -> None:
    """From now on consumers of this process read any header name; what is no UTF-8 in it is spelt as `\\xff`."""
    fetcher.MemoryRecords = _Records


class _Records:
    """What a fetch brought, batch by batch."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched, self._records, self._begin = fetched, MemoryRecords(fetched), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)

    def next_batch(self) -> Any:
        begin = self._begin
        self._begin += BODY_AT + int.from_bytes(self._fetched[begin + LENGTH_AT : begin + BODY_AT], "big")
        return _Batch(self._records.next_batch(), self._fetched[begin : self._begin])


class _Batch:
    """One batch, read by the fast parser; from the first odd name on by the one in Python."""

    def __init__(self, batch: Any, data: bytes) -> None:
        self._batch, self._data = batch, data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # of a control batch aiokafka asks only that
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        read = 0
        try:
            for record in self._batch:
                yield record
                read += 1
        except UnicodeDecodeError:
            for number, record in enumerate(_slowly(self._data)):
                if number >= read:
                    yield record


class _Lenient(bytearray):
    """Bytes whose every part can be a name."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Lenient(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


def _slowly(data: bytes) -> Iterator[Any]:
    batch = _DefaultRecordBatchPy(data)
    batch._maybe_uncompress()
    batch._buffer = _Lenient(batch._buffer)
    yield from batch
