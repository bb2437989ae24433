"""`python -m topics.generate [--check]`: write the picture and the table of the topics, or say that they are stale."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from schemas.versions import latest
from topics.catalogue import DOCUMENTS_LOCAL, OURS, PARTITIONS

PAGE = Path(__file__).parent / "README.md"
EVERY = (*OURS, DOCUMENTS_LOCAL)
OUTSIDE = ("publishers", "auditors")  # readers and writers that are no process of ours
HEAD = f"""# Topics

Generated from [catalogue.py](catalogue.py) by `make generate`; `make check` fails when it is stale.

Every topic has {PARTITIONS} partitions, chosen when it is first provisioned and never changed after, because keys would
move. Keys are hashed with murmur2 (librdkafka: `partitioner=murmur2_random`). Each installation may put a prefix before
every name. `python -m infra.kafka.provision --dry-run` shows what differs on a broker; nothing is ever shrunk or
deleted. `documents-local` stands for every inbox: `inboxes.yaml` names them.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_picture(), "", *_table(), "", *_events()]) + "\n"


def _picture() -> Iterator[str]:
    yield "```mermaid"
    yield "flowchart LR"
    for topic in EVERY:
        yield f'  {_node(topic.name)}[("{topic.name}")]'
    for name in sorted({name for topic in EVERY for name in (*topic.writers, *topic.readers)}):
        shape = f"(({name}))" if _outside(name) else f"[{name}]"
        yield f"  {_node(name, 'process')}{shape}"
    for topic in EVERY:
        yield from (f"  {_node(writer, 'process')} --> {_node(topic.name)}" for writer in topic.writers)
        yield from (f"  {_node(topic.name)} --> {_node(reader, 'process')}" for reader in topic.readers)
    yield "```"


def _outside(name: str) -> bool:
    return name in OUTSIDE or name.startswith("source ")


def _node(name: str, kind: str = "topic") -> str:
    return f"{kind}_{name.replace('-', '_').replace(' ', '_')}"


def _table() -> Iterator[str]:
    yield "| topic | key | kept | written by | read by | why |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for topic in EVERY:
        cells = (
            f"`{topic.name}`", topic.key, _kept(topic.retention), ", ".join(topic.writers),
            ", ".join(topic.readers) or "people", topic.why,
        )  # fmt: skip
        yield f"| {' | '.join(cells)} |"


def _kept(retention: timedelta | None) -> str:
    if retention is None:
        return "for ever"
    return f"{retention.days} d" if retention.days > 1 else f"{int(retention.total_seconds() // 3600)} h"


def _events() -> Iterator[str]:
    yield "| event | topic | what it says | example |"
    yield "| --- | --- | --- | --- |"
    for topic in EVERY:
        for event in topic.events:
            said = (event.__doc__ or "").strip().splitlines()[0]
            yield f"| `{event.__name__}` | `{topic.name}` | {said} | [{event.__name__}]({_example(event.__name__)}) |"


def _example(name: str) -> str:
    kebab = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")
    return f"../schemas/examples/{kebab}.v{latest(name).number}.json"


def main() -> int:
    """Exit code 1 when the page is stale and may not be written."""
    made = page()
    if PAGE.exists() and PAGE.read_text() == made:
        return 0
    if "--check" in sys.argv[1:]:
        print("topics/README.md is older than the catalogue; run `make generate`", file=sys.stderr)
        return 1
    PAGE.write_text(made)
    print("wrote topics/README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
