"""Whose each inbox is, and what it may publish: read once from `inboxes.yaml`."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infra.access import COLLECTION_ID, PRINCIPAL, USER_ID
from infra.settings import Settings
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
    path: Path = settings.inboxes_file
    try:
        read = _File.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError as exc:
        raise Invalid(f"{path} is missing: name the inboxes there, or set TURNLOG_INBOXES_FILE") from exc
    except OSError as exc:
        raise Invalid(f"{path} cannot be read ({exc.strerror}): give this user the right to") from exc
    except ValidationError as exc:
        raise Invalid(f"{path}: {'; '.join(_problem(each) for each in exc.errors())}") from exc
    except (UnicodeDecodeError, yaml.YAMLError) as exc:
        raise Invalid(f"{path}: {exc}") from exc
    names = [inbox.name for inbox in read.inboxes]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Invalid(f"{path}: inboxes named {', '.join(twice)} stand there more than once: join or rename them")
    return tuple(read.inboxes)


def _problem(error: Any) -> str:
    place = ".".join(str(part) for part in error["loc"]) or "the file"
    return f"{place}: {error['msg']}, not {str(error['input'])[:100]!r}"
