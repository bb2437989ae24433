"""`python -m streams.inboxes`: the worker that admits what outside systems publish."""

import sys

from streams.inboxes.agents import open_inboxes
from streams.process import run

if __name__ == "__main__":
    sys.exit(run("inboxes", open_inboxes))
