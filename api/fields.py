"""Fields that many bodies, paths and queries share, with what they may hold."""

from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Path, Query
from psycopg.rows import class_row
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from infra.access import COLLECTION_ID, GROUP_NAME, PRINCIPAL, USER_ID
from infra.postgres.pool import Connection

KEY_ID = r"^[0-9a-f]{16}$"
MOST_ERRORS = 1000  # of one body: FastAPI lists them all, and a million would take seconds of everybody's
PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
T = TypeVar("T", bound=BaseModel)

UserId = Annotated[str, StringConstraints(pattern=USER_ID)]
GroupName = Annotated[str, StringConstraints(pattern=GROUP_NAME)]
CollectionId = Annotated[str, StringConstraints(pattern=COLLECTION_ID)]
Principal = Annotated[str, StringConstraints(pattern=PRINCIPAL)]
Name = Annotated[str, StringConstraints(pattern=PRINTABLE, max_length=200)]
Scope = Literal["chat", "search", "publish", "audit", "admin"]
Moment = AwareDatetime

UserPath = Annotated[str, Path(alias="user_id", pattern=USER_ID)]
GroupPath = Annotated[str, Path(alias="group", pattern=GROUP_NAME)]
CollectionPath = Annotated[str, Path(alias="collection", pattern=COLLECTION_ID)]
KeyPath = Annotated[str, Path(alias="key_id", pattern=KEY_ID)]


class Body(BaseModel):
    """What a request sends: a field that nobody knows is an error, not a silence; so is text that is no Unicode.

    A bound, be it 0, makes pydantic read every string as UTF-8, which half a surrogate pair is not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_min_length=0)


def _few_errors(given: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    try:
        return validate(given)
    except ValidationError as exc:
        if (count := exc.error_count()) <= MOST_ERRORS:
            raise
    raise PydanticCustomError("many_errors", "{count} errors, too many to list", {"count": count})


B = TypeVar("B", bound=Body)
Sent = Annotated[B, WrapValidator(_few_errors)]  # how a route takes a body


class Page(BaseModel):
    """Which part of a list: up to `limit` items after the id `cursor`, in the order of ids."""

    limit: int
    cursor: str


async def page(
    limit: Annotated[int, Query(ge=1, le=1000, description="items at most")] = 100,
    cursor: Annotated[str, Query(pattern=r"^[^\x00]{0,600}$", description="the last id of the page before")] = "",
) -> Page:
    """The page that a request asks for."""
    return Page(limit=limit, cursor=cursor)


Paged = Annotated[Page, Depends(page)]


async def rows(db: Connection, kind: type[T], query: str, args: dict[str, Any]) -> list[T]:
    """The rows of a query as models."""
    async with db.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(query.encode(), args)
        return await cursor.fetchall()
