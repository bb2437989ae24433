"""/v1/models: which models may be asked, and whether they answer; also in the form that OpenAI's SDKs expect."""

import asyncio
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.auth import Authenticated
from api.problems import not_found
from api.services import Opened
from infra.models import Alias
from infra.providers.status import ModelStatuses

router = APIRouter(prefix="/v1/models", tags=["models"])


class ModelRetrieval(BaseModel):
    """What the model is shown unless a turn says otherwise; `collections` null: all that the caller may read."""

    collections: list[str] | None
    passages: int


class ModelHealth(BaseModel):
    """What came of asking the model for a word, at most a few seconds ago."""

    status: Literal["ok", "away"]
    reason: str | None
    checked_at: datetime


class Model(BaseModel):
    """A model by the alias that turns name. `retrieval` null: it is shown no passages."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str
    about: str
    default: bool
    retrieval: ModelRetrieval | None
    parameters: dict[str, int | float | list[str]]
    health: ModelHealth


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[Model]


@router.get("")
async def list_models(_caller: Authenticated, services: Opened) -> ModelList:
    """The models that turns may name, each just asked for a word."""
    statuses = services.models
    aliases = statuses.models.aliases.values()
    return ModelList(data=list(await asyncio.gather(*(_model(alias, statuses) for alias in aliases))))


@router.get("/{model}")
async def get_model(model: str, _caller: Authenticated, services: Opened) -> Model:
    """One model."""
    alias = services.models.models.aliases.get(model)
    if alias is None:
        raise not_found(f"model {model}")
    return await _model(alias, services.models)


async def _model(alias: Alias, statuses: ModelStatuses) -> Model:
    status = await statuses.of(alias)
    checked_at = datetime.fromtimestamp(status.checked_at, UTC)
    given = {name: value for name, value in vars(alias.parameters).items() if value is not None}
    return Model(
        id=alias.name,
        owned_by=alias.provider,
        about=alias.about,
        default=alias.name == statuses.models.default,
        retrieval=_retrieval(alias),
        parameters=given,
        health=ModelHealth(status="away" if status.reason else "ok", reason=status.reason, checked_at=checked_at),
    )


def _retrieval(alias: Alias) -> ModelRetrieval | None:
    if not alias.passages:
        return None
    return ModelRetrieval(
        collections=None if alias.collections is None else list(alias.collections), passages=alias.passages
    )
