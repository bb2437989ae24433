"""Where a local installation keeps its things, and as whom its servers run."""

import hashlib
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

NOBODY = 65534
RELOCATED = Path("/var/lib/turnlog")


class Identity(TypedDict, total=False):
    """Arguments of a process start that change who it is."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """Whom a process runs as; uid None: as whoever starts it."""

    uid: int | None = None

    @classmethod
    def for_servers(cls) -> "Account":
        """OpenSearch and Postgres refuse root, so root's servers run as nobody (initdb wants a uid that has a name)."""
        if os.getuid() != 0:
            return cls()
        try:
            return cls(pwd.getpwnam("nobody").pw_uid)
        except KeyError:
            return cls(NOBODY)

    def identity(self) -> Identity:
        """What a process start needs to become this account."""
        return {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Makes a file or folder this account's."""
        if self.uid is not None:
            os.chown(path, self.uid, self.uid)


def cache_folder() -> Path:
    """For downloads, shared by every clone of the user: TURNLOG_CACHE, else below XDG_CACHE_HOME or ~/.cache."""
    if named := os.environ.get("TURNLOG_CACHE"):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "turnlog"


def is_passable(folder: Path) -> bool:
    """Whether another user can get to this folder by its name: every folder above it lets others pass."""
    above = folder.absolute().parent.resolve()
    return all(parent.stat().st_mode & 0o001 for parent in (above, *above.parents) if parent.exists())


def placed(folder: Path, kind: str, *, account: Account, relocated: Path = RELOCATED) -> Path:
    """The folder itself, or its stand-in below /var/lib where the servers' account could not enter it."""
    folder = folder.absolute()
    if account.uid is None or is_passable(folder):
        return folder
    return relocated / f"{kind}-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"


def make_private(folder: Path, account: Account) -> Path:
    """A folder of mode 700 that belongs to an account."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    account.own(folder)
    return folder


def write_private(path: Path, text: str, account: Account) -> Path:
    """Writes a file of mode 600 that belongs to an account: whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    account.own(new)
    return new.replace(path)
