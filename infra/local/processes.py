"""What Linux says about processes: trees, births, memory; and ending them for good."""

import os
import signal
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps it


@dataclass(frozen=True)
class Usage:
    """Of a process and all below it. PSS: shared pages counted once over their users."""

    rss_mb: int
    pss_mb: int
    cpu_seconds: float
    processes: int
    threads: int

    def __sub__(self, part: "Usage") -> "Usage":
        """What is left without a part."""
        return Usage(*(ours - theirs for ours, theirs in zip(astuple(self), astuple(part), strict=True)))


def birth_of(pid: int) -> str | None:
    """When a process began, in ticks since boot: with the pid it names one process. None: gone, or a zombie."""
    try:
        field = _stat(pid)
    except (OSError, IndexError):
        return None
    return None if field[0] == "Z" else field[19]


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree_of(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += tree_of(int(child))
    return found


def usage_of(pid: int) -> Usage:
    """Memory and CPU of a process tree; what ended meanwhile counts nothing."""
    rss = pss = ticks = threads = 0
    pids = tree_of(pid)
    for each in pids:
        with suppress(OSError, KeyError, IndexError):
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()[1:]
            memory = dict(line.split(":", 1) for line in lines)
            rss += int(memory["Rss"].split()[0])
            pss += int(memory["Pss"].split()[0])
            field = _stat(each)
            ticks += int(field[11]) + int(field[12])
            threads += int(field[17])
    return Usage(rss // 1024, pss // 1024, ticks / os.sysconf("SC_CLK_TCK"), len(pids), threads)


def kill_group(leader: int) -> None:
    """Ends a process and its helpers (Triton's stubs, Postgres' workers) at once."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def sweep_triton_memory(shared: Path = SHARED_MEMORY) -> None:
    """Removes the shared memory that killed stubs leave behind, 1 MB each, unless somebody still maps it."""
    mapped = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            mapped |= {line.split()[-1] for line in maps.read_text().splitlines() if "triton_python_backend" in line}
    for region in shared.glob("triton_python_backend_shm_region_*"):
        if str(region) not in mapped:
            with suppress(OSError):
                region.unlink()
