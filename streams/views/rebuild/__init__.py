"""The views made anew from the log: beside the live ones, compared with them, then in their place."""
