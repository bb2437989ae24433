"""Passages in a real OpenSearch."""
