"""What the model `words` noted of a turn."""

import asyncio

from tests.servers import Servers


async def noted(servers: Servers, turn_id: str, what: str, seconds: float = 30) -> str:
    """The first line of a turn's stream that begins with `what`, as soon as it is there."""
    async with asyncio.timeout(seconds):
        while True:
            for line in (await asyncio.to_thread(servers.words_log.read_text)).splitlines():
                if line.startswith(what) and f"turn={turn_id} " in line:
                    return line
            await asyncio.sleep(0.02)
