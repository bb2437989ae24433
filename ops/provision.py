"""Provisions everything an installation needs: database, topics, schemas, index. Running it again changes nothing.

`python -m ops.provision [--wait SECONDS]`
"""

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

import infra.kafka.provision
import infra.opensearch.provision
import infra.postgres.migrate
import infra.registry.provision
from infra.kafka.provision import topics_of
from infra.settings import Settings, read_settings
from schemas.errors import Invalid, Unavailable

Step = Callable[[], list[str]]


def steps(settings: Settings) -> tuple[Step, ...]:
    """One step a server; none needs another's result. Each gives a line for each thing it made or changed."""
    topics = topics_of(settings)
    return (
        lambda: [f"postgres {made}" for made in _migrate(settings)],
        lambda: [
            f"topic {change.topic}: {change.what}" for change in infra.kafka.provision.provision(settings, topics)
        ],
        lambda: [f"schema {subject}" for subject in infra.registry.provision.provision(settings, topics)],
        lambda: [f"index {made}" for made in infra.opensearch.provision.provision(settings)],
    )


def provision(settings: Settings, *, wait_seconds: float = 0) -> list[str]:
    """Runs all steps side by side, each as soon as its server is there; raises Invalid or Unavailable."""
    end = time.monotonic() + wait_seconds
    with ThreadPoolExecutor() as pool:
        return [line for lines in pool.map(lambda step: _patiently(step, end), steps(settings)) for line in lines]


def _patiently(step: Step, end: float) -> list[str]:
    while True:
        try:
            return step()
        except Unavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _migrate(settings: Settings) -> list[str]:
    try:
        return infra.postgres.migrate.migrate(settings)
    except psycopg.OperationalError as exc:
        raise Unavailable("postgres", str(exc)) from exc


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wait", type=float, default=0, metavar="SECONDS", help="for servers that are not there yet")
    begun = time.monotonic()
    try:
        changes = provision(read_settings(), wait_seconds=parser.parse_args().wait)
    except (Invalid, Unavailable) as exc:
        print(f"provisioning stopped: {exc}", file=sys.stderr)
        return 1
    for line in changes:
        print(line)
    print(f"provisioned: {len(changes)} change{'s' * (len(changes) != 1)}, {time.monotonic() - begun:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
