"""What we stand on: a folder a system."""
