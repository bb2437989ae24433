"""Passwords of a local installation: generated once, kept in files of mode 600, never on a command line."""

import secrets
from pathlib import Path

from infra.local.layout import Account, make_private, write_private


def secret(folder: Path, name: str, account: Account) -> str:
    """The password in this file; made when there is none."""
    file = folder / name
    if not file.exists():
        make_private(folder, account)
        write_private(file, secrets.token_urlsafe(24) + "\n", account)
    return file.read_text().strip()
