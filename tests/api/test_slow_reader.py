"""A reader that does not read costs nobody anything: it is cut off, and goes on where it was."""

import asyncio
import socket
from urllib.parse import urlsplit

from structlog.testing import capture_logs

from infra.settings import Settings
from tests.api.house import open_house
from tests.api.stream.test_reader import FRAME
from tests.chatting import answering, ask, conversation, ended, follow, joined, words

COUNT = 600_000
SECONDS = 1.0


class SlowReader:
    """A connection of its own, with as little room as the system allows."""

    def __init__(self, url: str, turn_id: str, authorization: str) -> None:
        address = urlsplit(url)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect((address.hostname, address.port))
        head = f"GET /v1/turns/{turn_id}/events HTTP/1.1\r\nhost: x\r\nauthorization: {authorization}\r\n\r\n"
        self._socket.sendall(head.encode())
        self._socket.setblocking(False)

    async def rest(self) -> bytes:
        """All that still comes, until the server has closed the connection."""
        loop, found = asyncio.get_running_loop(), bytearray()
        async with asyncio.timeout(60):
            while data := await loop.sock_recv(self._socket, 1 << 20):
                found += data
        self._socket.close()
        return bytes(found)


async def test_a_reader_that_does_not_read_is_cut_off_and_goes_on_where_it_was(settings: Settings) -> None:
    limits = settings.limits.model_copy(update={"ended_answers_seconds": SECONDS})
    settings = settings.model_copy(update={"limits": limits})
    async with open_house(settings) as house, answering(settings):
        anna = await house.user("anna")
        turn_id = await ask(anna, await conversation(anna), f"words: count={COUNT} delay_ms=0.004")
        with capture_logs() as logs:
            slow = SlowReader(house.url, turn_id, anna.headers["authorization"])
            shown = await ended(anna, turn_id, 60)
            assert hash(shown["answer"]) == hash(words(COUNT)), "not the whole answer"
            async with asyncio.timeout(60):
                while not any("does not read" in line["event"] for line in logs):
                    await asyncio.sleep(0.05)
        frames = FRAME.findall((await slow.rest()).replace(b"\r\n", b"\n"))
        assert frames
        assert frames[-1][0] != b"ended", "it was never cut off"
        last = b".".join(frames[-1][1:4]).decode()
        position = int(frames[-1][3])
        whole = words(COUNT)[:position] + joined(await follow(anna, turn_id, last))
        assert hash(whole) == hash(words(COUNT)), "what came after is not the rest"
