"""A network that breaks: it passes everything on, and cuts a connection after so many bytes of an answer."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

Rule = Callable[[str], int | None]
"""For a request line: after how many bytes of its answer to cut; None: never."""


@contextmanager
def cutting(url: str, rule: Rule) -> Iterator[str]:
    """The address of a way to `url` that cuts."""
    target = urlsplit(url)
    assert target.hostname
    assert target.port
    address = (target.hostname, target.port)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threads: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):  # closed: the test is over
                while True:
                    near, _ = listening.accept()
                    threads.append(threading.Thread(target=_passed_on, args=(near, address, rule)))
                    threads[-1].start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        for thread in [accepting, *threads]:
            thread.join(30)


def _passed_on(near: socket.socket, address: tuple[str, int], rule: Rule) -> None:
    with near, socket.create_connection(address) as far:
        left: list[int | None] = [None]

        def up() -> None:
            with suppress(OSError):
                while asked := near.recv(65536):
                    left[0] = rule(asked.split(b"\r\n", 1)[0].decode(errors="replace"))
                    far.sendall(asked)
                far.shutdown(socket.SHUT_WR)

        sending = threading.Thread(target=up)
        sending.start()
        with suppress(OSError):
            while told := far.recv(65536):
                if left[0] is not None:
                    told = told[: left[0]]
                    left[0] -= len(told)
                near.sendall(told)
                if left[0] == 0:
                    break
        for side in (near, far):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
        sending.join()
