"""One file a noun; each exports `router`."""
