"""What happens: one folder a worker, one file a step."""
