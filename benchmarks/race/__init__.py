"""The pipeline beside other proxies and the bare model, all in front of the same upstream (`make bench-race`)."""
