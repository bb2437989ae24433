"""/v1/collections: where documents lie, whose they are, and who may read them."""

import secrets
from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import Field

from api.auth import Authenticated, Publishes
from api.caller import Caller
from api.consistency import write
from api.fields import Body, CollectionId, CollectionPath, Moment, Name, Paged, Principal, Sent, rows
from api.problems import forbidden, not_found, taken
from api.services import Opened, Services
from infra.access import PUBLIC, READERS, record_key
from infra.postgres.pool import Connection
from schemas.access import CollectionCreated, CollectionDeleted, CollectionReadersChanged
from topics.catalogue import ACCESS_CHANGES

router = APIRouter(prefix="/v1/collections", tags=["collections"])
ONE = "select collection_id, name, owner, readers, created_at from views.collections where collection_id = %(id)s"


class Collection(Body):
    """A collection. Its owner always reads it; who else does is told to the owner, others see only themselves there."""

    collection_id: str
    name: str
    owner: str
    readers: list[str]
    created_at: Moment

    def as_seen_by(self, caller: Caller) -> "Collection":
        """With the readers that the caller may know of."""
        if self.owner == caller.user_id or caller.is_admin:
            return self
        return self.model_copy(update={"readers": [r for r in self.readers if r in caller.principals]})


class NewCollection(Body):
    """A collection to make. Without an id it gets one."""

    collection_id: CollectionId | None = None
    name: Name
    readers: list[Principal] = Field(default=[], max_length=READERS)


class Readers(Body):
    """Who may read a collection besides its owner: the whole new list."""

    readers: list[Principal] = Field(max_length=READERS)


@router.post("", status_code=201, response_model=Collection)
async def create_collection(new: Sent[NewCollection], caller: Publishes, services: Opened) -> Response:
    """Makes a collection that the caller owns. An id is never given twice, not even after it was deleted."""
    collection_id = new.collection_id or f"c-{secrets.token_hex(8)}"
    async with caller.administering(services.db) as db:
        await check_readers(db, caller, new.readers)
        if await rows(db, Collection, ONE, {"id": collection_id}):
            raise taken(f"collection {collection_id}")
        row = await (await db.execute("select app.collection_taken(%s)", [collection_id])).fetchone()
        if row and row[0]:
            raise not_found(f"collection {collection_id}, and this id is given to nobody")
    created = CollectionCreated(
        collection_id=collection_id, name=new.name, owner=caller.user_id, readers=_distinct(new.readers)
    )
    written = await write(services, ACCESS_CHANGES, record_key(created), created)
    if not written.folded:
        return written.answer({"collection_id": collection_id})
    made = await collection_seen_by(caller, services, collection_id)
    if made.owner != caller.user_id:  # somebody was faster, and the first record of an id counts
        raise taken(f"collection {collection_id}")
    return written.answer(made, 201)


@router.get("")
async def list_collections(caller: Authenticated, services: Opened, paged: Paged) -> list[Collection]:
    """The collections one may read."""
    query = """select collection_id, name, owner, readers, created_at from views.collections
      where collection_id > %(cursor)s order by collection_id limit %(limit)s"""
    async with caller.reading(services.db) as db:
        return [one.as_seen_by(caller) for one in await rows(db, Collection, query, paged.model_dump())]


@router.get("/{collection}")
async def get_collection(collection: CollectionPath, caller: Authenticated, services: Opened) -> Collection:
    """One collection."""
    return (await collection_seen_by(caller, services, collection)).as_seen_by(caller)


@router.put("/{collection}/readers", response_model=Collection)
async def change_readers(
    collection: CollectionPath, wanted: Sent[Readers], caller: Publishes, services: Opened
) -> Response:
    """Says who may read a collection from now on. Searches see it as soon as the views do, under a second."""
    found = await collection_kept_by(caller, services, collection)
    async with caller.administering(services.db) as db:
        await check_readers(db, caller, wanted.readers, known=found.readers)
    changed = CollectionReadersChanged(
        collection_id=collection, readers=_distinct(wanted.readers), changed_by=caller.user_id
    )
    written = await write(services, ACCESS_CHANGES, record_key(changed), changed)
    return written.answer(await collection_seen_by(caller, services, collection))


@router.delete("/{collection}", status_code=204)
async def delete_collection(collection: CollectionPath, caller: Publishes, services: Opened) -> Response:
    """Deletes a collection: nothing in it is found any more."""
    await collection_kept_by(caller, services, collection)
    deleted = CollectionDeleted(collection_id=collection, deleted_by=caller.user_id)
    return (await write(services, ACCESS_CHANGES, record_key(deleted), deleted)).answer()


async def collection_seen_by(caller: Caller, services: Services, collection_id: str) -> Collection:
    """A collection that the caller may know of; raises 404."""
    async with caller.administering(services.db) as db:
        found = await rows(db, Collection, ONE, {"id": collection_id})
    if not found:
        raise not_found(f"collection {collection_id}")
    return found[0]


async def collection_kept_by(caller: Caller, services: Services, collection_id: str) -> Collection:
    """A collection that the caller may change; raises 404, or 403 when it may only read it."""
    found = await collection_seen_by(caller, services, collection_id)
    if found.owner != caller.user_id and not caller.is_admin:
        raise forbidden(f"collection {collection_id} is kept by its owner, {found.owner}")
    return found


async def check_readers(db: Connection, caller: Caller, readers: Iterable[str], known: Iterable[str] = ()) -> None:
    """Raises 404 for a user or group that the caller does not know of, whether it exists or not.

    Users know themselves and who shares a group with them, groups are known to members and owner. `known`: principals
    that are on the list already, and may stay.
    """
    asked = {reader for reader in readers if reader not in known} - {PUBLIC, f"user:{caller.user_id}"}
    seen = await db.execute(
        """select 'user:' || user_id from views.users where 'user:' || user_id = any(%(asked)s)
           union all select 'group:' || group_name from views.groups where 'group:' || group_name = any(%(asked)s)""",
        {"asked": sorted(asked)},
    )
    if unknown := sorted(asked - {row[0] async for row in seen}):
        raise not_found(f"principal {', '.join(unknown)}")


def _distinct(readers: list[str]) -> list[str]:
    return sorted(set(readers))
