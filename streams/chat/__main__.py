"""The chat worker: `python -m streams.chat`."""

import sys

from streams.chat.agents import open_chat
from streams.process import run

if __name__ == "__main__":
    sys.exit(run("chat", open_chat))
