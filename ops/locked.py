"""Environments of their own for what runs beside us: exactly the locked packages, made when they change."""

import hashlib
import sys
from pathlib import Path

from infra.triton.local import environment
from ops.installation import ROOT


def locked(name: str) -> Path:
    """The folder `bin` of the environment that requirements-NAME.txt describes."""
    made, requirements = ROOT / f".venv-{name}", ROOT / f"requirements-{name}.txt"
    stamp = made / "made-from"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        environment(made, requirements)
        stamp.write_text(wanted)
    return made / "bin"
