"""What libraries say is written, and not all the time."""

import logging

from infra.logs import Seldom


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    error = ZeroDivisionError()
    return logging.LogRecord(
        "aiokafka", logging.WARNING, "f", 1, message, None, (type(error), error, None) if failed else None
    )


def test_the_same_message_is_written_once_in_ten_seconds() -> None:
    now = [0.0]
    seldom = Seldom(10, lambda: now[0])
    written = []
    for now[0] in (0.0, 1.0, 9.0, 10.5, 11.0):
        written.append(seldom.filter(record("no broker")))
    assert written == [True, False, False, True, False]


def test_another_message_and_an_exception_are_written_at_once() -> None:
    seldom = Seldom(10, lambda: 0.0)
    assert [seldom.filter(record(words)) for words in ("one", "other", "one")] == [True, True, False]
    assert [seldom.filter(record("crash", failed=True)) for _ in range(2)] == [True, True]
