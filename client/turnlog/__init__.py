"""A client for Turnlog: an address and a key are all it needs."""

from turnlog.client import Turnlog
from turnlog.errors import Problem, TurnlogError, Unreachable

__all__ = ["Problem", "Turnlog", "TurnlogError", "Unreachable"]
