"""The views worker, killed."""
