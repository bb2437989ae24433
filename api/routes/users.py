"""/v1/users: who there is. Administrators make users and switch them; others see themselves and who shares a group."""

from fastapi import APIRouter
from fastapi.responses import Response

from api.auth import Administers, Authenticated
from api.caller import Caller
from api.consistency import write
from api.fields import Body, Moment, Name, Paged, Sent, UserId, UserPath, rows
from api.problems import Problem, not_found, taken
from api.services import Opened, Services
from infra.access import record_key
from schemas.access import UserCreated, UserSwitched
from topics.catalogue import ACCESS_CHANGES

router = APIRouter(prefix="/v1/users", tags=["access"])
ONE = "select user_id, name, enabled, created_at from views.users where user_id = %(user)s"


class User(Body):
    """A user. One that is switched off has no working key."""

    user_id: str
    name: str
    enabled: bool
    created_at: Moment


class NewUser(Body):
    """A user to make."""

    user_id: UserId
    name: Name


class Switch(Body):
    """Whether a user's keys work."""

    enabled: bool


@router.post("", status_code=201, response_model=User)
async def create_user(new: Sent[NewUser], caller: Administers, services: Opened) -> Response:
    """Makes a user; a key for it comes from POST /v1/keys. The scope `admin` is needed."""
    if await _seen(caller, services, new.user_id):
        raise taken(f"user {new.user_id}")
    created = UserCreated(user_id=new.user_id, name=new.name, created_by=caller.user_id)
    written = await write(services, ACCESS_CHANGES, record_key(created), created)
    if not written.folded:
        return written.answer({"user_id": new.user_id})
    return written.answer(await user_seen_by(caller, services, new.user_id), 201)


@router.get("")
async def list_users(caller: Authenticated, services: Opened, paged: Paged) -> list[User]:
    """Oneself and those who share a group; for an administrator's key everybody."""
    query = """select user_id, name, enabled, created_at from views.users where user_id > %(cursor)s
      order by user_id limit %(limit)s"""
    async with caller.administering(services.db) as db:
        return await rows(db, User, query, paged.model_dump())


@router.get("/{user_id}")
async def get_user(user_id: UserPath, caller: Authenticated, services: Opened) -> User:
    """One user."""
    return await user_seen_by(caller, services, user_id)


@router.patch("/{user_id}", response_model=User)
async def switch_user(user_id: UserPath, switch: Sent[Switch], caller: Administers, services: Opened) -> Response:
    """Switches a user off, so that every key of it stops working, or on again. The scope `admin` is needed."""
    await user_seen_by(caller, services, user_id)
    if user_id == caller.user_id and not switch.enabled:
        raise Problem(409, "oneself", "nobody can switch oneself off: another administrator can")
    switched = UserSwitched(user_id=user_id, enabled=switch.enabled, changed_by=caller.user_id)
    written = await write(services, ACCESS_CHANGES, record_key(switched), switched)
    return written.answer(await user_seen_by(caller, services, user_id))


async def user_seen_by(caller: Caller, services: Services, user_id: str) -> User:
    """A user that the caller may know of; raises 404."""
    found = await _seen(caller, services, user_id)
    if not found:
        raise not_found(f"user {user_id}")
    return found[0]


async def _seen(caller: Caller, services: Services, user_id: str) -> list[User]:
    async with caller.administering(services.db) as db:
        return await rows(db, User, ONE, {"user": user_id})
