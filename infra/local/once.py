"""Running a server's own tool once, before it starts."""

import subprocess
from collections.abc import Sequence

from infra.local.local import Local


def run(local: Local, server: str, command: Sequence[str], text: str = "") -> None:
    """Runs it as the server's account in its folder; raises OSError with the end of what it said."""
    done = subprocess.run(
        list(command),
        cwd=local.folder(server),
        env=local.environment(server),
        input=text,
        capture_output=True,
        text=True,
        check=False,
        **local.account.identity(),
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()[-1500:]
        raise OSError(f"{command[0].rpartition('/')[2]} ended with exit code {done.returncode}:\n{said}")
