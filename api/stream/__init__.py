"""Answers as people follow them: tailed, kept for a moment, played again at any place."""
