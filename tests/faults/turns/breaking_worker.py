"""The chat worker, which breaks at a point of a turn's life: `python -m tests.faults.turns.breaking_worker`.

The file that BREAKING_ORDERS names says where and how, e.g. `sealed SIGKILL`; it is obeyed once.
"""

import os
import signal
import sys
from functools import partial
from pathlib import Path

from streams.chat.agents import open_chat
from streams.process import run

ORDERS = Path(os.environ.get("BREAKING_ORDERS", "/nowhere"))


async def break_off(point: str) -> None:
    """Carries out the orders, when they are for this point."""
    if not ORDERS.exists():
        return
    where, how = ORDERS.read_text().split()
    if where == point:
        ORDERS.unlink()
        os.kill(os.getpid(), signal.Signals[how])


if __name__ == "__main__":
    sys.exit(run("chat", partial(open_chat, reached=break_off)))
