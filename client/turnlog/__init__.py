"""A client for Turnlog: an address and a key are all it needs."""

from turnlog.aio.client import AsyncTurnlog
from turnlog.errors import Problem, TurnlogError, Unreachable
from turnlog.stream import Answer
from turnlog.sync.client import Turnlog

__all__ = ["Answer", "AsyncTurnlog", "Problem", "Turnlog", "TurnlogError", "Unreachable"]
