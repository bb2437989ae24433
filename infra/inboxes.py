"""Whose each inbox is, and what it may publish: read once from `inboxes.yaml`."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from infra.access import COLLECTION_ID, PRINCIPAL, USER_ID
from infra.settings import Settings
from infra.yaml_file import read_yaml
from schemas.errors import Invalid
from topics.catalogue import Topic, inbox


def _or_any(pattern: str) -> str:
    return rf"^(\*|{pattern.removeprefix('^').removesuffix('$')})$"


class Inbox(BaseModel):
    """One inbox. `collections` and `readers` name what it may set; a '*' allows any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    owner: str = Field(
        pattern=USER_ID, description="user id whose rights it has: it publishes to collections this user owns"
    )
    collections: list[Annotated[str, Field(pattern=_or_any(COLLECTION_ID))]] = ["*"]
    readers: list[Annotated[str, Field(pattern=_or_any(PRINCIPAL))]] = ["*"]

    @property
    def topic(self) -> Topic:
        """The topic that the source writes to."""
        return inbox(self.name)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    inboxes: list[Inbox]


def read_inboxes(settings: Settings) -> tuple[Inbox, ...]:
    """The inboxes of an installation; raises Invalid naming file, place and cure."""
    path = settings.inboxes_file
    missing = "name the inboxes there, or set TURNLOG_INBOXES_FILE"
    read = read_yaml(path, _File, missing=missing, show_values=True)
    names = [inbox.name for inbox in read.inboxes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Invalid(f"{path}: inboxes named {', '.join(twice)} stand there more than once: join or rename them")
    return tuple(read.inboxes)
