"""An HTTP server that breaks in ways no real one can be asked to: it cuts streams where a test says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Request:
    """What a client sent."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Reply:
    """An answer; `cut` breaks the connection after the body, before its announced end; `then` happens before that."""

    status: int = 200
    body: bytes = b""
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    then: Callable[[], None] = lambda: None


@dataclass
class Scripted:
    """A running server and what it was asked."""

    url: str
    asked: list[Request] = field(default_factory=list)

    @classmethod
    @contextmanager
    def serve(cls, answer: Callable[[Request], Reply]) -> Iterator["Scripted"]:
        """Serves on a free port until the block ends."""
        made = cls("")

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

            def handle_one(self) -> None:
                body = b"".join(_chunks(self))
                request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
                made.asked.append(request)
                _send(self, answer(request))

            do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _chunks(handler: BaseHTTPRequestHandler) -> Iterator[bytes]:
    length = int(handler.headers.get("content-length", 0))
    if length:
        yield handler.rfile.read(length)


def _send(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    handler.send_response(reply.status)
    announced = len(reply.body) + (100 if reply.cut else 0)
    for name, value in {"content-type": reply.kind, "content-length": str(announced), **reply.headers}.items():
        handler.send_header(name, value)
    with suppress(ConnectionError):  # whoever asked has hung up
        handler.end_headers()
        handler.wfile.write(reply.body)
        handler.wfile.flush()
    reply.then()
    handler.close_connection = True
