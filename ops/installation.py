"""One local installation: its folders, ports, secrets, and the settings that its processes run with."""

import fcntl
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.layout import Account, make_private, placed, write_private
from infra.local.local import Local
from infra.local.ports import Ports
from infra.local.secrets import secret
from infra.postgres.local import superuser_password
from ops.fetch import cache
from schemas.errors import Invalid

ROOT = Path(__file__).resolve().parents[1]
ROLES = ("owner", "api", "chat", "documents", "views")
ONLY_FOR_PROVISIONING = ("TURNLOG_POSTGRES_SUPERUSER_PASSWORD", "TURNLOG_POSTGRES_PASSWORD_OWNER")


@dataclass(frozen=True)
class Installation:
    """`folder` is ours (.turnlog); the servers' data is in `local.data`: below it, unless their account cannot pass."""

    folder: Path
    local: Local

    @classmethod
    def at(cls, folder: Path, ports: Ports) -> "Installation":
        """The installation in this folder, made when there is none."""
        account, folder = Account.for_servers(), folder.absolute()
        make_private(folder, Account())
        if account.uid is not None:
            folder.chmod(0o711)  # the servers' account passes through to its own folders, and reads nothing
        servers = placed(folder / "servers", "servers", account=account)
        if servers != folder / "servers":
            _link(folder / "servers", servers)
        servers.mkdir(parents=True, exist_ok=True)
        servers.chmod(0o711)
        return cls(folder, Local(servers, cache(), ports, account, {}))

    @property
    def key_file(self) -> Path:
        """The API key of this installation's first user."""
        return self.folder / "key"

    def settings(self) -> dict[str, str]:
        """TURNLOG_* of a process that may do everything; the model files must be there."""
        ports, model = self.local.ports, self.local.parts.get("model")
        found = {
            "DATA": str(self.folder),
            "KAFKA_BOOTSTRAP": f"127.0.0.1:{ports.kafka}",
            "OPENSEARCH_URL": f"http://127.0.0.1:{ports.opensearch}",
            "REGISTRY_URL": f"http://127.0.0.1:{ports.registry}/apis/ccompat/v7",
            "TRITON_GRPC": f"127.0.0.1:{ports.triton_grpc}",
            "TRITON_HTTP": f"http://127.0.0.1:{ports.triton_http}",
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(ports.postgres),
            "POSTGRES_DATABASE": "turnlog",
            "POSTGRES_SUPERUSER_PASSWORD": superuser_password(self.local),
            "API_PORT": str(ports.api),
            "MODELS_FILE": os.environ.get("TURNLOG_MODELS_FILE", str(ROOT / "models.yaml")),
            "INBOXES_FILE": os.environ.get("TURNLOG_INBOXES_FILE", str(ROOT / "inboxes.yaml")),
        }
        found |= {f"POSTGRES_PASSWORD_{role.upper()}": self._password(role) for role in ROLES}
        found |= {"EMBEDDER_TOKENIZER": str(model / "tokenizer.json")} if model else {}
        return {f"TURNLOG_{name}": value for name, value in found.items()}

    def settings_of_process(self) -> dict[str, str]:
        """The same without the passwords that only provisioning needs."""
        return {name: value for name, value in self.settings().items() if name not in ONLY_FOR_PROVISIONING}

    def write_environment(self) -> Path:
        """A file of mode 600 to `source`, for other commands and for tests."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self.settings().items()]
        return write_private(self.folder / "env", "".join(lines), Account())

    def _password(self, role: str) -> str:
        return secret(self.folder / "secrets", role, Account())

    def alone(self) -> AbstractContextManager[None]:
        """Holds the folder; raises Invalid when another run does."""
        return alone(self.folder)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Holds a folder, and says in its lock by whom it is held; raises Invalid when another process does."""
    with (folder / "lock").open("a+") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            guard.seek(0)
            raise Invalid(f"{folder} is in use by another run: pid {guard.read().strip()} is up already") from exc
        guard.truncate(0)
        guard.write(str(os.getpid()))
        guard.flush()
        yield


def _link(link: Path, target: Path) -> None:
    """Shows where the data lies. No link but data: the folder that named it was removed, so the data goes too."""
    if link.exists() and not link.is_symlink():
        raise Invalid(
            f"{link} holds the data of a run that was not root's, and root's servers could not enter it.\n"
            f"Run as that user, or remove {link.parent} to start anew without its data."
        )
    if not link.is_symlink():
        shutil.rmtree(target, ignore_errors=True)
        link.symlink_to(target)
