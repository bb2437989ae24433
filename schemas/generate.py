"""`python -m schemas.generate [--check]`: write the Avro schemas that the event classes ask for, or say what differs.

A changed class becomes a new version beside the old ones, and only when old and new readers can read each other's
records (FULL_TRANSITIVE, the same rule that the registry keeps). `versions.txt` only grows: a version in it that was
edited or removed is refused, because records that name its hash are on the log.
"""

import json
import sys
from pathlib import Path

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import Schema, parse

from schemas.all import EVENTS
from schemas.versions import FOLDER, Json, Version, canonical, committed, schema_of

LIST = "versions.txt"


def clashes(schema: Json, versions: list[Version]) -> list[str]:
    """Why a schema cannot stand beside the committed versions; empty: it can."""
    return [f"v{version.number}: {problem}" for version in versions for problem in _both_ways(schema, version.schema)]


def _both_ways(new: Json, old: Json) -> list[str]:
    left, right = parse(json.dumps(new)), parse(json.dumps(old))
    found = [("new reads old", left, right), ("old reads new", right, left)]
    return [f"{way}: {'; '.join(why)}" for way, reader, writer in found for why in [_problems(reader, writer)] if why]


def _problems(reader: Schema, writer: Schema) -> list[str]:
    result = ReaderWriterCompatibilityChecker().get_compatibility(reader, writer)  # type: ignore[no-untyped-call]
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    return [
        f"{place}: {message}" for place, message in zip(sorted(result.locations), sorted(result.messages), strict=False)
    ]


def drift(write: bool, folder: Path = FOLDER) -> list[str]:
    """What differs between the classes and the files; with `write`, new versions are written where that is allowed."""
    said = changed(folder) or _behind(write, folder)
    committed.cache_clear()
    return said or _unlisted(write, folder)


def changed(folder: Path) -> list[str]:
    """Every listed version that is not there as it was listed."""
    there = {version.line for versions in committed(folder).values() for version in versions}
    return [
        f"{name}.v{number}.avsc: edited or removed, and records on the log were written with it; restore it with git"
        for line in _listed(folder)
        if line not in there
        for name, number, _ in [line.split()]
    ]


def _listed(folder: Path) -> list[str]:
    return (folder / LIST).read_text().splitlines()


def _unlisted(write: bool, folder: Path) -> list[str]:
    listed = set(_listed(folder))
    new = [v.line for versions in committed(folder).values() for v in versions if v.line not in listed]
    if write:
        with (folder / LIST).open("a") as file:
            file.writelines(f"{line}\n" for line in new)
        return []
    return [f"{line}: not in {LIST}; run `make generate`" for line in new]


def _behind(write: bool, folder: Path) -> list[str]:
    said = []
    for name, event in sorted(EVENTS.items()):
        versions, schema = committed(folder).get(name, []), schema_of(event)
        if versions and canonical(versions[-1].schema) == canonical(schema):
            continue
        if why := clashes(schema, versions):
            said.append(
                f"{name}: incompatible with what is committed: {'; '.join(why)}. "
                "Add optional fields, or make a new event."
            )
        elif write:
            number = versions[-1].number + 1 if versions else 1
            (folder / f"{name}.v{number}.avsc").write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n")
            print(f"wrote {name}.v{number}.avsc")
        else:
            said.append(f"{name}: the class is newer than its schema; run `make generate`")
    said += [
        f"{name}: a schema without a class; old events stay readable, so keep the class"
        for name in committed(folder)
        if name not in EVENTS
    ]
    return said


def main() -> int:
    """Exit code 1 when something differs or may not be."""
    problems = drift(write="--check" not in sys.argv[1:])
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
