"""How a question finds passages that its asker may read."""
