"""The views: kept topics folded into Postgres."""
