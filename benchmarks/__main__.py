"""`python -m benchmarks [--only turns,search] [--running .turnlog]`: measure, print, keep (`make bench`)."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks import audit, documents, retrieval, search, start, turns
from benchmarks.figures import keep, table
from benchmarks.installation import installation
from benchmarks.target import Target

Rows = list[dict[str, Any]]
WARM_UP_CLIENTS, WARM_UP_SECONDS = 50, 90


async def measure_turns(target: Target, given: argparse.Namespace) -> Rows:
    """c = 1, 10, 50, 150; the last is past saturation. Warmed up first: Kafka's JVM compiles as it goes."""
    await turns.measure(target, WARM_UP_CLIENTS, WARM_UP_SECONDS, 1)
    return [await turns.measure(target, clients, given.seconds, given.rounds) for clients in (1, 10, 50, 150)]


async def measure_publish(target: Target, given: argparse.Namespace) -> Rows:
    """1, 5 and 20 documents a second."""
    return [await documents.publish_to_searchable(target, rate, 2 * given.seconds) for rate in (1, 5, 20)]


async def measure_ingest(target: Target, _: argparse.Namespace) -> Rows:
    """A backlog of passages of about 200 tokens."""
    return [await documents.ingest(target, 300, 1), await documents.ingest(target, 15, 20)]


async def measure_questions(target: Target, _: argparse.Namespace) -> Rows:
    """Questions while a backlog is indexed."""
    return [await documents.questions_during_backfill(target, 300)]


async def measure_search(target: Target, _: argparse.Namespace) -> Rows:
    """The route beside the query that it makes."""
    return [await search.measure(target, clients) for clients in (1, 8)]


async def measure_retrieval(target: Target, given: argparse.Namespace) -> Rows:
    """Sets with judgements; without any, nothing."""
    return [row for folder in given.sets for row in await retrieval.measure(target, folder, given.queries)]


async def measure_audit(target: Target, given: argparse.Namespace) -> Rows:
    """A log in a namespace of its own."""
    return await audit.measure(target, given.events)


PARTS: dict[str, tuple[str, Callable[[Target, argparse.Namespace], Awaitable[Rows]]]] = {
    "turns": ("Turns with `words` (64 words, 5 ms apart) beside the model called directly", measure_turns),
    "publish": ("From publish to searchable, one passage of at most 60 tokens", measure_publish),
    "ingest": ("Ingest beside the bare embedder", measure_ingest),
    "questions": ("A question's embedding during a backfill", measure_questions),
    "retrieval": ("What is found (nDCG@10, Recall@100), by words, by meaning, by both", measure_retrieval),
    "audit": ("Replaying and verifying a log, beside a bare reading of it", measure_audit),
    "search": ("Hybrid search beside the bare query", measure_search),
}
START = "start"  # on installations of its own, before any other part
NAMES = f"a comma list of {', '.join([START, *PARTS])}"


async def run(target: Target, given: argparse.Namespace) -> None:
    """Each part in turn: print its table, keep its rows."""
    target = await target.with_own_key()
    for name in given.only:
        title, part = PARTS[name]
        show(name, title, await part(target, given))


def show(name: str, title: str, rows: Rows) -> None:
    """Prints a table and keeps its rows."""
    table(title, rows)
    print(f"  kept in {keep(name, rows)}", flush=True)


def main() -> None:
    """Measures the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda said: said.split(","), default=[START, *PARTS], help=NAMES)
    parser.add_argument("--running", type=Path, help="folder of a running installation (default: start one)")
    parser.add_argument("--seconds", type=float, default=6, help="length of a block (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="alternating rounds (default: %(default)s)")
    parser.add_argument("--sets", type=Path, nargs="*", default=[], help="folders of judged sets, for `retrieval`")
    parser.add_argument("--queries", type=int, default=600, help="of each set at most (default: %(default)s)")
    parser.add_argument("--events", type=int, default=1_000_000, help="of the log of `audit` (default: %(default)s)")
    parser.add_argument("--download", action="store_true", help="`start` begins with an empty cache")
    given = parser.parse_args()
    if unknown := set(given.only) - {START, *PARTS}:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; {NAMES}")
    if START in given.only:
        given.only.remove(START)
        show(START, "A start of everything, and the idle stack's memory", start.measure(download=given.download))
    if not given.only:
        return
    with installation(given.running) as target:
        asyncio.run(run(target, given))


if __name__ == "__main__":
    main()
