"""Standard streams that were closed before the start: the next file would get their number, and what is printed."""

import os
import sys


def open_closed_ones() -> None:
    """Gives each that is closed to /dev/null, also for what is started from here."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:  # so Python says that it found it closed
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115
