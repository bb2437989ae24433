"""`python -m streams.documents`: the worker that indexes documents."""

import sys

from streams.documents.agents import open_documents
from streams.process import run

if __name__ == "__main__":
    sys.exit(run("documents", open_documents))
