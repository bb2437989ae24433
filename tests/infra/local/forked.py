"""What the forks of the tests run: `python -m tests.infra.local.forked MANNER`."""

import os
import signal
import sys
import time
from pathlib import Path

from tests.infra.local import imported

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["tell"]:
            print("directory", Path.cwd())
            print("session", os.getsid(0), "group", os.getpgid(0))
            print("environment", sorted(os.environ))
            name = Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode().split("/")[-1]
            print("name", name)
            print("name", __name__, "arguments", sys.argv[1:])
        case ["importer"]:
            print("imported by", imported.BY)
        case ["exit", code]:
            sys.exit(int(code))
        case ["raise"]:
            raise ValueError("as it was told")
        case ["wait"]:
            print("waits")
            time.sleep(600)
        case ["deaf"]:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("waits")
            time.sleep(600)
