"""Documents, from the log to the index."""
