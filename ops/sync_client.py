"""Writes the synchronous client, word for word from the asynchronous one, or says that it is stale.

`python -m ops.sync_client [--check]`: client/turnlog/aio/*.py -> client/turnlog/sync/*.py      (`make generate`)
"""

import re
import subprocess
import sys
from pathlib import Path

from ops.installation import ROOT

AIO, SYNC = ROOT / "client/turnlog/aio", ROOT / "client/turnlog/sync"
WORDS = {
    r"async (def|for|with)\b": r"\1",
    r"\bawait ": "",
    r"\bfrom asyncio import sleep\b": "from time import sleep",
    r"\basynccontextmanager\b": "contextmanager",
    r"\b__aiter__\b": "__iter__",
    r"\baiter_bytes\b": "iter_bytes",
    r"\baread\b": "read",
    r"\bAsync(?=[A-Z])": "",
    r"\bturnlog\.aio\b": "turnlog.sync",
}
LEFT = re.compile(r"\basync|\bawait\b|\bAsync|\baio\b")
HEAD = "# Generated from turnlog/aio/{name} by `make generate`; `make check` fails when it is stale.\n"


class NotTranslated(Exception):
    """A word of the asynchronous source that WORDS does not know would stay as it is."""


def synchronous(name: str, source: str) -> str:
    """The same module without waiting; raises NotTranslated."""
    for word, instead in WORDS.items():
        source = re.sub(word, instead, source)
    if found := LEFT.search(source):
        raise NotTranslated(f"turnlog/aio/{name}: {found[0]!r} at character {found.start()} of the translation")
    for command in (["check", "--select", "I,UP028", "--fix", "--unsafe-fixes"], ["format"]):
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ruff")), *command, "--quiet", "--stdin-filename", SYNC / name, "-"],
            cwd=ROOT,
            input=source,
            capture_output=True,
            text=True,
            check=True,
        )
        source = done.stdout
    return HEAD.format(name=name) + source


def modules() -> dict[Path, str]:
    """What lies in turnlog/sync, or should."""
    sources = sorted(path for path in AIO.glob("*.py") if path.name != "__init__.py")
    made = {SYNC / path.name: synchronous(path.name, path.read_text()) for path in sources}
    package = '"""The synchronous client. `make generate` makes it from `turnlog.aio`: change that one."""\n'
    return {SYNC / "__init__.py": package} | made


def main() -> int:
    """Exit code 1 when something is stale and may not be written."""
    wanted = modules()
    there = {path: path.read_text() for path in SYNC.glob("*.py")}
    if wanted == there:
        return 0
    if "--check" in sys.argv[1:]:
        print("client/turnlog/sync is older than client/turnlog/aio; run `make generate`", file=sys.stderr)
        return 1
    SYNC.mkdir(exist_ok=True)
    for path in there.keys() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.write_text(text)
    print("wrote client/turnlog/sync")
    return 0


if __name__ == "__main__":
    sys.exit(main())
