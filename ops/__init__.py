"""The operator's commands: everything that looks at the whole installation."""
