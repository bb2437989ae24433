"""CPU seconds and memory of process trees, read from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far and PSS in MB, of a process and all below it."""

    cpu_seconds: float
    pss_mb: float


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree(int(child))
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def usage(pid: int) -> Usage:
    """Sums over the tree; a process that ends meanwhile counts as far as it was seen."""
    cpu = pss = 0.0
    for one in tree(pid):
        try:
            stat = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            cpu += (int(stat[11]) + int(stat[12])) / TICKS
            roll = Path(f"/proc/{one}/smaps_rollup").read_text()
            pss += next(int(line.split()[1]) for line in roll.splitlines() if line.startswith("Pss:")) / 1024
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Usage(cpu, pss)
