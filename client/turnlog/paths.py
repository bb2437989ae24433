"""Addresses below /v1, and what goes into a request."""

from typing import Any
from urllib.parse import quote

from turnlog.errors import TurnlogError


def path(*names: str) -> str:
    """Below /v1. Raises TurnlogError for a name that could arrive as another path.

    Whatever is on the way may take `..` for the folder above, percent-encoded or not, and the address of the document
    `..` would be that of its collection.
    """
    for name in names:
        if not name or {".", ".."} & set(name.split("/")):
            raise TurnlogError(f"{name!r} cannot be named over HTTP", "Take a name without a part `.` or `..`.")
    return "/".join(["/v1", *(quote(name, safe="") for name in names)])


def said(**given: Any) -> dict[str, Any]:
    """What was given; None: it was not."""
    return {name: value for name, value in given.items() if value is not None}
