"""The collections that a request names: one that the caller may not read does not exist, here as everywhere."""

from collections.abc import Sequence

from api.caller import Caller
from api.problems import not_found
from api.services import Services

READABLE = "select collection_id from views.collections where collection_id = any(%s)"


async def check_readable(services: Services, caller: Caller, collections: Sequence[str] | None) -> None:
    """Raises 404 for the first collection that there is not for this caller."""
    if not collections:
        return
    async with caller.reading(services.db) as db:
        readable = {name async for (name,) in await db.execute(READABLE, [list(collections)])}
    for collection in collections:
        if collection not in readable:
            raise not_found(f"collection {collection}")
