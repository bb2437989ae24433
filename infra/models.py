"""Which models people may ask for: `models.yaml`, read once and checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from infra.settings import Settings
from infra.yaml_file import read_yaml
from schemas.errors import Invalid
from schemas.turns import Parameters

Kind = Literal["triton", "openai"]


@dataclass(frozen=True, kw_only=True)
class Alias:
    """A model as people name it. `collections` null: all that the asker may read; `passages` 0: no retrieval."""

    name: str
    provider: str
    model: str
    about: str
    collections: tuple[str, ...] | None
    passages: int
    parameters: Parameters
    running: int


@dataclass(frozen=True, kw_only=True)
class Server:
    """A provider: `url` and `key_variable` (the environment variable that holds its API key) are for kind openai."""

    name: str
    kind: Kind
    url: str
    key_variable: str | None


@dataclass(frozen=True, kw_only=True)
class Models:
    """What models.yaml says."""

    default: str
    servers: Mapping[str, Server]
    aliases: Mapping[str, Alias]

    def named(self, alias: str) -> Alias:
        """The alias; raises Invalid that names those there are."""
        try:
            return self.aliases[alias]
        except KeyError:
            raise Invalid(f"no model {alias!r}; there are {', '.join(self.aliases)}") from None


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Retrieval(_Strict):
    collections: Literal["all"] | list[str] = "all"
    passages: int | None = Field(default=None, ge=1)


class _Parameters(_Strict):
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    seed: int | None = None
    stop: list[str] | None = None


def _off(given: Any) -> Any:
    """A bare `off` is false in YAML."""
    return None if given in (False, "off") else given


class _Server(_Strict):
    kind: Kind
    url: str | None = Field(default=None, pattern=r"^https?://[^/@\s]+(/\S*)?$")
    key_from: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*$")


class _Alias(_Strict):
    provider: str
    model: str
    about: str = ""
    retrieval: Annotated[_Retrieval | None, BeforeValidator(_off)]
    parameters: _Parameters = _Parameters()
    running: int | None = Field(default=None, ge=1)


class _File(_Strict):
    default: str
    providers: dict[str, _Server]
    models: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")], _Alias] = Field(min_length=1)


def read_models(settings: Settings) -> Models:
    """The models of an installation; raises Invalid naming file, place and cure."""
    path = settings.models_file
    read = read_yaml(path, _File, missing="name the models there, or set TURNLOG_MODELS_FILE")
    try:
        return _models(read, settings)
    except Invalid as exc:
        raise Invalid(f"{path}: {exc}") from exc


def _models(read: _File, settings: Settings) -> Models:
    if read.default not in read.models:
        raise Invalid(f"default: no model {read.default!r}; name one of {', '.join(read.models)}")
    servers = {name: _server(name, each, settings) for name, each in read.providers.items()}
    aliases = {name: _alias(name, each, servers, settings) for name, each in read.models.items()}
    return Models(default=read.default, servers=MappingProxyType(servers), aliases=MappingProxyType(aliases))


def _server(name: str, read: _Server, settings: Settings) -> Server:
    if read.kind == "triton":
        if read.key_from:
            raise Invalid(f"providers.{name}.key_from: Triton takes no key, remove it")
        url = _url(name, read.url) if read.url else settings.triton_http
        return Server(name=name, kind="triton", url=url, key_variable=None)
    if not read.url:
        raise Invalid(f"providers.{name}.url: is missing, add the address before /chat/completions")
    return Server(name=name, kind=read.kind, url=_url(name, read.url), key_variable=read.key_from)


def _url(name: str, url: str) -> str:
    place = f"providers.{name}.url"
    if "?" in url or "#" in url:
        raise Invalid(f"{place}: only scheme, host, port and path are sent; remove what follows the path")
    try:
        found = urlsplit(url)
        (found.hostname or "").encode("idna")
        complete = bool(found.hostname) and found.port != 0
    except ValueError as exc:  # of the port, the brackets or the name
        raise Invalid(f"{place}: {url} is no address ({exc}); write it as https://HOST:PORT/PATH") from exc
    if not complete:
        raise Invalid(f"{place}: {url} is no address; write it as https://HOST:PORT/PATH")
    return url.rstrip("/")


def _alias(name: str, read: _Alias, servers: Mapping[str, Server], settings: Settings) -> Alias:
    if read.provider not in servers:
        known = ", ".join(servers) or "none"
        raise Invalid(f"models.{name}.provider: no provider {read.provider!r}; there are {known}")
    limits, found = settings.limits, read.retrieval
    local = servers[read.provider].kind == "triton"
    return Alias(
        name=name,
        provider=read.provider,
        model=read.model,
        about=read.about,
        collections=None if found is None or found.collections == "all" else tuple(found.collections),
        passages=0 if found is None else min(found.passages or limits.passages, limits.passages),
        parameters=Parameters(**read.parameters.model_dump()),
        running=read.running or (limits.running_answers if local else limits.running_answers_remote),
    )
