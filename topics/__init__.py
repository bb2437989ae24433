"""Where what is said travels: the catalogue of topics."""
