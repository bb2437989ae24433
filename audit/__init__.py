"""Reading the log again: what happened in a turn, and whether the log holds what it promises. Never the database."""
