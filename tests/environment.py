"""Settings as the environment of a process: what a test starts reads the same installation."""

import os

from pydantic import BaseModel, SecretStr

from infra.settings import Settings


def attached() -> bool:
    """Whether tests were told to use the servers that the environment names."""
    return os.environ.get("TURNLOG_TEST_SERVERS") == "attached"


def forget() -> None:
    """Takes out what `source .turnlog/env` may have left: tests must not run on an installation that is in use."""
    for name in [name for name in os.environ if name.startswith("TURNLOG_")]:
        if name != "TURNLOG_CACHE" and not attached():
            del os.environ[name]


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of this process, with every setting as TURNLOG_*, and what is given besides."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TURNLOG_")}
    return {**kept, **_named("TURNLOG_", settings), **more}


def _named(prefix: str, model: BaseModel) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in model:
        if isinstance(value, BaseModel):
            found |= _named(f"{prefix}{name.upper()}__", value)
        elif value is not None:
            found[prefix + name.upper()] = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
    return found
