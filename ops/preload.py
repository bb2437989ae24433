"""What our processes are made of, imported once for all of them: for their fork server, and nobody else."""

import gc
import os
import sys
from importlib import import_module

from ops.processes import OURS

os.setsid()  # a terminal's Ctrl-C, and a group's SIGTERM, are for the process that started it: its forks stop in order
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's would begin threads, and a fork takes none along
for main in (*(f"{ours.module}.__main__" for ours in OURS), "ops.provision"):
    import_module(main)
    del sys.modules[main]  # a fork runs it as `__main__`
gc.collect()
gc.freeze()  # what the collector does not look at is not written to, and stays shared
