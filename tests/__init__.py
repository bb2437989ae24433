"""Tests against the real servers; the folders mirror the tree."""
