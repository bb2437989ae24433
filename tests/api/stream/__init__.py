"""Streams without a server: what a reader hears."""
