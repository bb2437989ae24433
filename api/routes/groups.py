"""/v1/groups: groups of users, to be named as readers. Administrators make them, their owners keep them."""

from fastapi import APIRouter
from fastapi.responses import Response

from api.auth import Administers, Authenticated
from api.caller import Caller
from api.consistency import write
from api.fields import Body, GroupName, GroupPath, Moment, Paged, Sent, UserId, UserPath, rows
from api.problems import forbidden, not_found, taken
from api.routes.users import user_seen_by
from api.services import Opened, Services
from infra.access import record_key
from infra.postgres.pool import Connection
from schemas.access import GroupCreated, GroupDeleted, GroupMemberAdded, GroupMemberRemoved
from topics.catalogue import ACCESS_CHANGES

router = APIRouter(prefix="/v1/groups", tags=["access"])
ONE = "select group_name as group, owner, created_at from views.groups where group_name = %(group)s"
MEMBERS = "select user_id from views.group_members where group_name = %s order by user_id"


class Group(Body):
    """A group."""

    group: str
    owner: str
    created_at: Moment


class GroupWithMembers(Group):
    """A group and who is in it."""

    members: list[str]


class NewGroup(Body):
    """A group to make; its owner (the caller, when nobody is named) is its first member."""

    group: GroupName
    owner: UserId | None = None


@router.post("", status_code=201, response_model=GroupWithMembers)
async def create_group(new: Sent[NewGroup], caller: Administers, services: Opened) -> Response:
    """Makes a group. A name is never given twice, not even after its group was deleted. The scope `admin` is needed."""
    owner = new.owner or caller.user_id
    await user_seen_by(caller, services, owner)
    async with caller.administering(services.db) as db:
        if (row := await (await db.execute("select app.group_taken(%s)", [new.group])).fetchone()) and row[0]:
            raise taken(f"group {new.group}")
    created = GroupCreated(group=new.group, owner=owner)
    added = GroupMemberAdded(group=new.group, user_id=owner, changed_by=caller.user_id)
    written = await write(services, ACCESS_CHANGES, record_key(created), created, added)
    if not written.folded:
        return written.answer({"group": new.group})
    return written.answer(await _group_seen_by(caller, services, new.group), 201)


@router.get("")
async def list_groups(caller: Authenticated, services: Opened, paged: Paged) -> list[Group]:
    """The groups one is in or owns; for an administrator's key all."""
    query = """select group_name as group, owner, created_at from views.groups where group_name > %(cursor)s
      order by group_name limit %(limit)s"""
    async with caller.administering(services.db) as db:
        return await rows(db, Group, query, paged.model_dump())


@router.get("/{group}")
async def get_group(group: GroupPath, caller: Authenticated, services: Opened) -> GroupWithMembers:
    """One group and its members."""
    return await _group_seen_by(caller, services, group)


@router.delete("/{group}", status_code=204)
async def delete_group(group: GroupPath, caller: Authenticated, services: Opened) -> Response:
    """Deletes a group, and with it all that it could read."""
    await _group_kept_by(caller, services, group)
    deleted = GroupDeleted(group=group, deleted_by=caller.user_id)
    return (await write(services, ACCESS_CHANGES, record_key(deleted), deleted)).answer()


@router.put("/{group}/members/{user_id}", status_code=204)
async def add_member(group: GroupPath, user_id: UserPath, caller: Authenticated, services: Opened) -> Response:
    """Puts a user into a group: its owner may add users that it knows, an administrator's key anybody."""
    await _group_kept_by(caller, services, group)
    await user_seen_by(caller, services, user_id)
    added = GroupMemberAdded(group=group, user_id=user_id, changed_by=caller.user_id)
    return (await write(services, ACCESS_CHANGES, record_key(added), added)).answer()


@router.delete("/{group}/members/{user_id}", status_code=204)
async def remove_member(group: GroupPath, user_id: UserPath, caller: Authenticated, services: Opened) -> Response:
    """Takes a user out of a group; everybody may leave."""
    found = await _group_seen_by(caller, services, group)
    if user_id not in found.members:
        raise not_found(f"member {user_id} of group {group}")
    if user_id != caller.user_id:
        await _group_kept_by(caller, services, group)
    _check_scope(caller)
    removed = GroupMemberRemoved(group=group, user_id=user_id, changed_by=caller.user_id)
    return (await write(services, ACCESS_CHANGES, record_key(removed), removed)).answer()


async def _group_seen_by(caller: Caller, services: Services, group: str) -> GroupWithMembers:
    async with caller.administering(services.db) as db:
        found = await rows(db, Group, ONE, {"group": group})
        if not found:
            raise not_found(f"group {group}")
        return GroupWithMembers(**found[0].model_dump(), members=await _members(db, group))


async def _group_kept_by(caller: Caller, services: Services, group: str) -> None:
    found = await _group_seen_by(caller, services, group)
    if found.owner != caller.user_id and not caller.is_admin:
        raise forbidden(f"group {group} is kept by its owner, {found.owner}")
    _check_scope(caller)


def _check_scope(caller: Caller) -> None:
    """Who is in a group decides who reads: a key that only converses or searches changes nothing of it."""
    if not caller.scopes & {"publish", "admin"}:
        raise forbidden("this key lacks the scope publish: a group is changed with publish or admin")


async def _members(db: Connection, group: str) -> list[str]:
    return [row[0] for row in await (await db.execute(MEMBERS, [group])).fetchall()]
