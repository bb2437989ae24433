"""Registering every event's schema under its topics' subjects, FULL_TRANSITIVE, oldest version first.

`python -m infra.registry.provision`
"""

import sys
from collections.abc import Iterable

import httpx

from infra.kafka.provision import topics_of
from infra.registry.client import HEAD, RegistryClient, subject_of
from infra.settings import Settings, read_settings
from schemas.errors import Invalid, Unavailable
from schemas.versions import Json, canonical, committed
from topics.catalogue import Topic

LEVEL = "FULL_TRANSITIVE"


def provision(settings: Settings, topics: Iterable[Topic]) -> list[str]:
    """Registers what is missing and names it; raises Unavailable, or Invalid when the registry refuses a schema."""
    with httpx.Client(base_url=settings.registry_url, timeout=30, trust_env=False, headers=HEAD) as http:
        _ask(http, "PUT", "/config", {"compatibility": LEVEL})
        if _ask(http, "GET", "/config", None).get("compatibilityLevel") != LEVEL:
            raise Invalid(f"the registry does not keep the compatibility level {LEVEL}")
        done = []
        for topic in topics:
            for event in topic.events:
                done += _register(http, settings, topic, event.__name__)
        return done


def _register(http: httpx.Client, settings: Settings, topic: Topic, name: str) -> list[str]:
    subject = subject_of(settings.kafka_name(topic), name)
    known = len(_ask(http, "GET", f"/subjects/{subject}/versions", None, missing=[]))
    versions = committed()[name]
    schema_id = 0
    for version in versions:
        schema_id = int(
            _ask(http, "POST", f"/subjects/{subject}/versions", {"schema": canonical(version.schema).decode()})["id"]
        )
    RegistryClient.remember(settings, topic, name, schema_id)
    return [f"{subject} v{version.number}" for version in versions[known:]]


def _ask(http: httpx.Client, method: str, path: str, body: Json | None, missing: Json | None = None) -> Json:
    try:
        answer = http.request(method, path, json=body)
    except httpx.HTTPError as exc:
        raise Unavailable("registry", str(exc) or type(exc).__name__) from exc
    if answer.status_code == 404 and missing is not None:
        return missing
    if answer.status_code == 409:
        raise Invalid(f"the registry refuses {path}: incompatible with a version before it: {answer.text[:500]}")
    if answer.status_code != 200:
        raise Unavailable("registry", f"{method} {path} answered {answer.status_code}: {answer.text[:200]}")
    return answer.json()


def main() -> int:
    """Prints a line for each schema that was registered; exit code 1 with the cause."""
    try:
        settings = read_settings()
        done = provision(settings, topics_of(settings))
    except (Invalid, Unavailable) as exc:
        print(exc, file=sys.stderr)
        return 1
    print("\n".join(done) if done else "schemas: nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
