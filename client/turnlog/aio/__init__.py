"""The asynchronous client. `turnlog.sync` is generated from it by `make generate`."""
