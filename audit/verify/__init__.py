"""Whether the log holds what it promises: read from 0, checked without any database."""
