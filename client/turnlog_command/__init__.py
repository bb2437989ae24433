"""The command `turnlog`, beside its package: while that is loaded, Ctrl-C ends it, and leaves no traceback."""

import signal


def main() -> None:
    """Loads and runs it; exits with its code."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from turnlog.main import main as run

    signal.signal(signal.SIGINT, before)
    run()
