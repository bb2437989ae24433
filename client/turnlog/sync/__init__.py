"""The synchronous client. `make generate` makes it from `turnlog.aio`: change that one."""
