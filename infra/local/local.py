"""What every server of a local installation is told: folders, ports, account."""

import os
from dataclasses import dataclass
from pathlib import Path

from infra.local.jvm import keep_archive, take_archive
from infra.local.layout import Account, make_private
from infra.local.ports import Ports

JAVA_SERVERS = ("kafka", "opensearch", "registry")


@dataclass(frozen=True)
class Local:
    """`data`: a folder below it for each server. `parts`: what servers are made of, by name, as it arrives."""

    data: Path
    cache: Path
    ports: Ports
    account: Account
    parts: dict[str, Path]

    def folder(self, server: str) -> Path:
        """The server's own folder."""
        return self.data / server

    def prepare_folders(self, server: str, *names: str) -> None:
        """Makes the server's folder and those below it, its class archive among them."""
        for name in ("", *names, "tmp"):
            make_private(self.folder(server) / name, self.account)
        if server in JAVA_SERVERS:
            programs = self.parts[server], self.parts["jvm"]
            take_archive(self._archive(server), self.folder(server) / "tmp", self.account, *programs)

    def keep_archives(self) -> None:
        """Leaves the class archives for the next new installation on this machine."""
        for server in JAVA_SERVERS:
            if server in self.parts:
                keep_archive(self._archive(server), self.folder(server) / "tmp")

    def _archive(self, server: str) -> Path:
        return self.cache / "archives" / f"{self.parts[server].name}-{self.parts['jvm'].name}.jsa"

    def environment(self, server: str) -> dict[str, str]:
        """What a server sees of the environment: nothing of the user's."""
        return {
            "PATH": "/usr/bin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.folder(server)),
            "TZ": os.environ.get("TZ", "UTC"),
        }
