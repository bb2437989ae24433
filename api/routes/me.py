"""Who am I: what a key is and may."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.auth import Authenticated

router = APIRouter(prefix="/v1", tags=["access"])


class Me(BaseModel):
    """The caller, as every route sees it."""

    user_id: str
    key_id: str
    scopes: list[str]
    principals: list[str]
    requests_per_minute: int
    turns_in_flight: int


@router.get("/me")
async def me(caller: Authenticated) -> Me:
    """The user and the rights behind the key of this request."""
    return Me(
        user_id=caller.user_id,
        key_id=caller.key_id,
        scopes=sorted(caller.scopes),
        principals=sorted(caller.principals),
        requests_per_minute=caller.requests_per_minute,
        turns_in_flight=caller.turns_in_flight,
    )
