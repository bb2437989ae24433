"""The first start: a key, a sample collection published from outside, and a question about it."""

from collections.abc import Callable

from ops.installation import Installation


async def welcome(installation: Installation, say: Callable[[str], None]) -> None:
    """Does nothing when this installation was welcomed before."""
    if (installation.folder / "welcomed").exists():
        return
