"""The log, read again."""
