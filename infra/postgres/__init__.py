"""Postgres: pools, row-level sessions, migrations."""
