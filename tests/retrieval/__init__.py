"""Search, and what nobody may find."""
