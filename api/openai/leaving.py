"""A reader that leaves ends its turn, unless somebody reads on within some seconds: nobody pays for unread words."""

import asyncio

import structlog

from api.caller import Caller
from api.routes.turns import request_stop
from api.services import Services
from infra.postgres.pool import connection
from infra.waiting import backoff_seconds
from schemas.errors import Unavailable

log = structlog.get_logger()


async def stop_unless_read(services: Services, caller: Caller, turn_id: str, conversation_id: str) -> None:
    """Looks in some seconds whether anybody reads the turn, at any replica, and stops it when nobody does."""
    seconds, tried = services.settings.limits.reader_gone_seconds, 0
    await asyncio.sleep(seconds)
    while True:
        try:
            if services.live.readers_of(turn_id) or not await _is_abandoned(services, turn_id, seconds):
                return
            await request_stop(services, caller, turn_id, conversation_id, "reader-gone")
            return
        except Unavailable as exc:
            log.warning("waiting for a server", server=exc.server, turn_id=turn_id)
            await asyncio.sleep(backoff_seconds(tried, 5))
            tried += 1


async def _is_abandoned(services: Services, turn_id: str, seconds: float) -> bool:
    async with connection(services.db) as db:
        row = await (await db.execute("select app.is_abandoned(%s, %s)", [turn_id, seconds])).fetchone()
        return row is not None and bool(row[0])
