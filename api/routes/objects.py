"""/v1/objects: bytes first, the document that names them later; for what is too large for a request or a record."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect

from api.auth import Publishes
from api.caller import Caller
from api.fields import Moment, rows
from api.problems import Problem, not_found
from api.services import Opened, Services
from infra.postgres.objects import claim

router = APIRouter(prefix="/v1/objects", tags=["documents"])
ONE = """select sha256, size, created_at as uploaded_at from state.objects
  where sha256 = %(sha256)s and owner = 'user:' || app.user_id()"""
HASH = r"^[0-9a-f]{64}$"
ObjectPath = Annotated[str, Path(alias="sha256", pattern=HASH)]


class StoredObject(BaseModel):
    """An object of the caller's. A document names it by its hash; one that none names is deleted after a while."""

    sha256: str = Field(description="lower-case hex SHA-256 of the bytes")
    size: int = Field(description="in bytes")
    uploaded_at: Moment


@router.put("", status_code=201, response_model=StoredObject)
async def upload_object(request: Request, caller: Publishes, services: Opened) -> Response:
    """Stores the body, at most 1 GiB, under its hash; the same bytes again change nothing. Nothing of it is read."""
    try:
        async with services.objects.received(request.stream()) as upload:
            if not upload.size:
                raise Problem(422, "invalid", "an object has bytes, and there are none in the body")
            async with caller.reading(services.db) as db:
                await claim(db, upload.sha256, f"user:{caller.user_id}", upload.size)
                await services.objects.keep(upload)
    except ClientDisconnect:
        return Response(None, 400)  # nobody hears it
    stored = await _object_of(caller, services, upload.sha256)
    return Response(stored.model_dump_json(), 201, {"location": f"/v1/objects/{stored.sha256}"}, "application/json")


@router.get("/{sha256}")
async def get_object(sha256: ObjectPath, caller: Publishes, services: Opened) -> StoredObject:
    """Whether the caller has uploaded an object that is still there."""
    return await _object_of(caller, services, sha256)


async def _object_of(caller: Caller, services: Services, sha256: str) -> StoredObject:
    async with caller.reading(services.db) as db:
        found = await rows(db, StoredObject, ONE, {"sha256": sha256})
    if not found:
        raise not_found(f"object {sha256}")
    return found[0]
