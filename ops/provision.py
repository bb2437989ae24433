"""Provisions everything an installation needs, in order: topics, schemas, database, index. Running it again changes nothing.

`python -m ops.provision`
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator

import httpx
import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

import infra.kafka.provision
import infra.postgres.migrate
import infra.registry.provision
from infra.kafka.provision import topics_of
from infra.settings import Settings
from schemas.errors import Invalid, Unavailable


def provision(settings: Settings) -> Iterator[str]:
    """Yields a line for each thing it made or changed; raises Invalid or Unavailable."""
    topics = topics_of(settings)
    steps: tuple[Callable[[], list[str]], ...] = (
        lambda: [f"topic {change.topic}: {change.what}" for change in infra.kafka.provision.provision(settings, topics)],
        lambda: [f"schema {subject}" for subject in infra.registry.provision.provision(settings, topics)],
        lambda: [f"postgres {made}" for made in _migrate(settings)],
        lambda: [f"index {made}" for made in _index(settings)],
    )
    for step in steps:
        yield from step()


def _migrate(settings: Settings) -> list[str]:
    try:
        return infra.postgres.migrate.migrate(settings)
    except psycopg.OperationalError as exc:
        raise Unavailable("postgres", str(exc)) from exc


def _index(settings: Settings) -> list[str]:
    if importlib.util.find_spec("infra.opensearch") and importlib.util.find_spec("infra.opensearch.provision"):
        return list(importlib.import_module("infra.opensearch.provision").provision(settings))
    return []


def remove(settings: Settings) -> None:
    """Removes all that belongs to the settings' namespace and database. For tests: it refuses the empty namespace."""
    if not settings.namespace:
        raise Invalid("only an installation with a namespace of its own can be removed")
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 2})
    try:
        names = [name for name in admin.list_topics(timeout=15).topics if name.startswith(settings.namespace)]
        for future in admin.delete_topics(names).values() if names else ():
            future.result(15)
    except KafkaException as exc:
        raise Unavailable("kafka", str(exc)) from exc
    infra.postgres.migrate.drop(settings)
    gone = httpx.delete(f"{settings.opensearch_url}/{settings.namespace}*", trust_env=False, timeout=30)
    if gone.is_error:
        raise Unavailable("opensearch", gone.text[:200])


def main() -> int:
    """Prints a line for each change; exit code 1 with the cause when something cannot be."""
    changed = 0
    try:
        for line in provision(Settings()):
            print(line, flush=True)
            changed += 1
    except (Invalid, Unavailable) as exc:
        print(f"provisioning stopped: {exc}", file=sys.stderr)
        return 1
    print(f"provisioned: {changed} changes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
