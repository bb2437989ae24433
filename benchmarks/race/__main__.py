"""`python -m benchmarks.race`: the same upstream through us, LiteLLM and Open WebUI, and directly (`make bench-race`).

All are asked in alternating blocks of one run, so a noisy machine meets each; then readers are cut in mid-stream.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.figures import keep, percentile, table
from benchmarks.installation import installation
from benchmarks.race import cut, peers, stages
from benchmarks.race.load import SCHEDULE, Load, run
from benchmarks.race.processes import started
from benchmarks.race.subject import Subject
from benchmarks.race.turnlog import models_file, turnlog
from benchmarks.target import Target

Rows = list[dict[str, Any]]
Start = Callable[[str, Path], AbstractAsyncContextManager[Subject]]
PEERS: dict[str, Start] = {
    "litellm-1": lambda upstream, folder: peers.litellm(upstream, folder, 1),
    "litellm-2": lambda upstream, folder: peers.litellm(upstream, folder, 2),
    "openwebui": peers.openwebui,
}
SATURATED = 150
STAGED = (1, 10)  # clients
WARM_UP_CLIENTS, WARM_UP_SECONDS = 50, 90  # Kafka's JVM compiles as it goes


async def race(target: Target, upstream: Subject, folder: Path, given: argparse.Namespace) -> dict[str, Rows]:
    """Starts the peers, measures everybody, looks where our own time goes, cuts readers of everybody."""
    target = await target.with_own_key()
    async with AsyncExitStack() as stack:
        subjects = [upstream, turnlog(target)]
        for name in given.peers:
            try:
                subjects.append(await stack.enter_async_context(PEERS[name](upstream.url, folder)))
            except (OSError, RuntimeError) as exc:  # the others go on
                print(f"without {name}: {exc}", flush=True)
        for subject in subjects:
            await run(subject, upstream.pids["upstream"], WARM_UP_CLIENTS, WARM_UP_SECONDS, Load())
        rows = []
        for clients in given.clients:
            rows += await measure(subjects, upstream, clients, given)
        if given.saturated:
            rows += await measure(subjects[:2], upstream, SATURATED, given)
        spent = [row for clients in STAGED for row in await stages.measure(target, subjects[1], clients, given.seconds)]
        readers = await cut.measure(subjects, upstream.url) if given.cut else []
        return {"": rows, "Our time to the first token": spent, "Readers cut in mid-stream": readers}


async def measure(subjects: Sequence[Subject], upstream: Subject, clients: int, given: argparse.Namespace) -> Rows:
    """A row a subject; every second round goes backwards."""
    loads = {subject.name: Load() for subject in subjects}
    for number in range(given.rounds):
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            await run(subject, upstream.pids["upstream"], clients, given.seconds, loads[subject.name])
    rows = [row(subject, clients, loads[subject.name], loads[upstream.name]) for subject in subjects]
    table(f"{clients} clients", [{k: v for k, v in each.items() if not isinstance(v, dict)} for each in rows])
    return rows


def row(subject: Subject, clients: int, load: Load, direct: Load) -> dict[str, Any]:
    """What its blocks came to, beside the model called directly."""
    said: dict[str, Any] = {"subject": subject.name, "clients": clients, "turns": len(load.firsts)}
    said |= {"wrong": load.wrong, "failed": load.failed}
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        added = percentile(load.firsts, share) - percentile(direct.firsts, share)
        said[f"added_first_{name}_ms"] = round(added * 1000, 1)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        said[f"gap_{name}_ms"] = round(percentile(load.gaps, share) * 1000, 1)
    said["turns_per_s"] = round(load.turns_per_second, 1)
    said["of_direct"] = round(load.turns_per_second / direct.turns_per_second, 3) if direct.turns_per_second else 0
    mine = subject.name != "direct"
    thousands = max(len(load.firsts) * SCHEDULE.count / 1000, 0.001)
    said["cpu_s_per_1000"] = round(sum(load.cpu.values()) / thousands, 3) if mine else None
    said["memory_mb"] = subject.pss_mb() if mine else None
    said["others_cores"] = round(load.others / load.seconds, 2) if load.seconds else 0
    said["load"] = round(load.busiest, 1)
    said["faults"] = vars(load.faults)
    turns = max(len(load.firsts), 1)
    said["cpu_ms_per_turn"] = {name: round(spent / turns * 1000, 2) for name, spent in load.cpu.items()} if mine else {}
    return said


@contextmanager
def mock(folder: Path) -> Iterator[Subject]:
    """The upstream in its own process: the model called directly."""
    port = peers.free_port()
    command = [sys.executable, "-m", "benchmarks.race.upstream", str(port)]
    with started(command, {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path.cwd())}, folder / "upstream.log") as server:
        url = f"http://127.0.0.1:{port}"
        asyncio.run(server.until_ready(url, "/v1/models"))
        yield Subject("direct", url, "/v1/chat/completions", {}, {"upstream": server.pid})


def _names(said: str) -> list[str]:
    return [each for each in said.split(",") if each]


def options() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=_names, default=list(PEERS), help="a comma list (default: all)")
    parser.add_argument("--clients", type=lambda said: list(map(int, _names(said))), default=[1, 10, 50])
    parser.add_argument("--seconds", type=float, default=6, help="length of a block (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="alternating rounds (default: %(default)s)")
    parser.add_argument("--no-saturated", dest="saturated", action="store_false", help=f"without {SATURATED} clients")
    parser.add_argument("--no-cut", dest="cut", action="store_false", help="without readers that are cut")
    parser.add_argument("--keep", default="race", help="name of the file of results (default: %(default)s)")
    given = parser.parse_args()
    if unknown := set(given.peers) - set(PEERS):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    return given


def main() -> None:
    """Measures, prints, keeps."""
    given = options()
    with tempfile.TemporaryDirectory(prefix="turnlog-race-") as name:
        folder = Path(name)
        with mock(folder) as upstream:
            with installation(None, {"TURNLOG_MODELS_FILE": str(models_file(upstream.url, folder))}) as target:
                said = asyncio.run(race(target, upstream, folder, given))
    for title, rows in said.items():
        if title and rows:
            table(title, rows)
    print(f"  kept in {keep(given.keep, [row for rows in said.values() for row in rows])}", flush=True)


if __name__ == "__main__":
    main()
