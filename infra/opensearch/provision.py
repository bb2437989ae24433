"""Provisioning OpenSearch: the search pipeline and index N; running it again changes nothing.

`python -m infra.opensearch.provision [N]`
"""

import sys
from collections.abc import Iterator
from typing import Any

from opensearchpy import OpenSearch
from opensearchpy.exceptions import ConnectionError as NotReached
from opensearchpy.exceptions import OpenSearchException, TransportError

from infra.opensearch.mapping import WEIGHTS, index_name, passages_body, pipeline_body, pipeline_name
from infra.settings import Settings, read_settings
from schemas.errors import Invalid, Unavailable

FIRST_INDEX = 1
EXISTS = "resource_already_exists_exception"
CURE = (
    "Delete that index in OpenSearch (DELETE /NAME), start again, then `turnlog index rebuild`: the log has everything"
)


def provision(settings: Settings, number: int = FIRST_INDEX) -> Iterator[str]:
    """Makes what is missing, and names it; raises Unavailable, or Invalid when OpenSearch refuses it."""
    with OpenSearch([settings.opensearch_url], timeout=30, max_retries=0) as client:
        try:
            yield from _pipeline(client, settings)
            yield from _index(client, settings, number)
        except NotReached as exc:
            raise Unavailable("opensearch", str(exc.error)) from exc
        except TransportError as exc:
            if exc.status_code in (429, 503):
                raise Unavailable("opensearch", str(exc)[:500]) from exc
            raise Invalid(f"opensearch refuses it: {str(exc)[:800]}") from exc
        except OpenSearchException as exc:
            raise Unavailable("opensearch", str(exc)[:500]) from exc


def _pipeline(client: OpenSearch, settings: Settings) -> Iterator[str]:
    name, wanted = pipeline_name(settings), pipeline_body(WEIGHTS)
    path = f"/_search/pipeline/{name}"
    found = client.transport.perform_request("GET", path, params={"ignore": 404})
    if found.get(name) != wanted:
        client.transport.perform_request("PUT", path, body=wanted)
        yield f"pipeline {name}"


def _index(client: OpenSearch, settings: Settings, number: int) -> Iterator[str]:
    name = index_name(settings, number)
    wanted = passages_body(settings.limits.refresh_interval, pipeline_name(settings))
    if not client.indices.exists(index=name):
        try:
            client.indices.create(index=name, body=wanted)
            yield f"index {name}"
        except TransportError as exc:
            if exc.error != EXISTS:  # somebody else was faster
                raise
    _check_fields(name, client.indices.get_mapping(index=name)[name]["mappings"], wanted["mappings"])


def _check_fields(name: str, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """A field cannot change its type in place: another mapping is another index."""
    for field, kind in wanted["properties"].items():
        there = found["properties"].get(field, {})
        if there.get("type") != kind["type"] or there.get("dimension") != kind.get("dimension"):
            raise Invalid(f"{name}: field {field} is {there}, expected {kind}. {CURE}")
    if found.get("dynamic") != "strict":
        raise Invalid(f"{name} takes unknown fields: it was not made by this program. {CURE}")


def main() -> int:
    """Prints a line for each change; exit code 1 with the cause when something cannot be."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else FIRST_INDEX
    try:
        changes = list(provision(read_settings(), number))
    except (Invalid, Unavailable) as exc:
        print(exc, file=sys.stderr)
        return 1
    print("\n".join(changes) or "opensearch: nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
