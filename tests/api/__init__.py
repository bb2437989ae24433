"""How people reach it: against a running API, views worker, broker and database."""
