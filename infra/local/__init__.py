"""Real servers as processes of this machine, from package registries alone."""
