"""`docker-compose.yml` says the same as `make run`. Its images are not run here; what can be compared is."""

import json
import re
from typing import Any, cast

import pytest
import yaml

from infra.kafka import local as kafka
from infra.local import pins
from infra.opensearch import local as opensearch
from infra.postgres import local as postgres
from infra.settings import Limits, Settings
from infra.triton import local as triton
from ops.processes import OURS
from tests.code import ROOT

COMPOSE = cast(dict[str, Any], yaml.safe_load((ROOT / "docker-compose.yml").read_text()))
SERVICES = cast(dict[str, dict[str, Any]], COMPOSE["services"])
DOCKERFILE = (ROOT / "Dockerfile").read_text()
ADDRESSES = {
    "listeners", "advertised.listeners", "controller.quorum.voters", "listener.security.protocol.map", "log.dirs",
}  # fmt: skip
PASSWORDS = {
    "api": {"API"},
    "chat": {"CHAT", "API"},
    "inboxes": {"DOCUMENTS"},
    "documents": {"DOCUMENTS"},
    "views": {"VIEWS"},
}


def environment(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in SERVICES[service].get("environment", {}).items()}


def unset(value: str) -> str:
    """A value with nothing set in .env: `${NAME:-default}` is its default."""
    return re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value)


@pytest.mark.parametrize("ours", OURS, ids=lambda ours: ours.name)
def test_each_process_of_ours_is_a_service(ours: Any) -> None:
    assert SERVICES[ours.name]["command"] == ["python", "-m", ours.module]
    assert (ROOT / ours.module.replace(".", "/") / "__main__.py").exists()


@pytest.mark.parametrize("service", [*PASSWORDS, "provision"])
def test_every_setting_is_one_that_the_processes_read(service: str) -> None:
    names = {name.removeprefix("TURNLOG_").lower() for name in environment(service)}
    limits = {name.removeprefix("limits__") for name in names if name.startswith("limits__")}
    assert limits <= set(Limits.model_fields)
    assert names - {f"limits__{name}" for name in limits} <= set(Settings.model_fields)


@pytest.mark.parametrize(("service", "roles"), PASSWORDS.items())
def test_a_process_knows_only_the_passwords_it_needs(service: str, roles: set[str]) -> None:
    found = {name for name in environment(service) if "PASSWORD" in name}
    assert found == {f"TURNLOG_POSTGRES_PASSWORD_{role}" for role in roles}


def test_only_those_who_call_models_have_the_keys_of_their_providers() -> None:
    have = {name for name, service in SERVICES.items() if service.get("env_file")}
    assert have == {"api", "chat"}
    assert "/providers.env" in (ROOT / ".gitignore").read_text().split()


def test_provisioning_waits_for_servers_that_are_slower_than_it() -> None:
    assert "ops.provision --wait" in SERVICES["provision"]["command"][-1]


def test_the_broker_has_the_settings_of_the_local_one() -> None:
    local = dict(line.split("=", 1) for line in kafka.PROPERTIES.splitlines())
    found = {
        name.removeprefix("KAFKA_").replace("_", ".").lower(): value for name, value in environment("kafka").items()
    }
    assert {name: found.get(name) for name in local if name not in ADDRESSES} == {
        name: value for name, value in local.items() if name not in ADDRESSES
    }
    assert set(found) - set(local) == {"cluster.id", "heap.opts"}


def test_postgres_has_the_settings_of_the_local_one() -> None:
    given = {unset(option) for option in SERVICES["postgres"]["command"][1:]}
    wanted = {name: value for name, value in postgres.OPTIONS.items() if "socket" not in name and "listen" not in name}
    assert given == {f"--{name}={value}" for name, value in wanted.items()}


def test_triton_has_the_flags_of_the_local_one() -> None:
    local = set(re.findall(r'"(--(?:http-thread|allow-[gm]|cache-config|exit)[^"]*)"', triton_source()))
    assert local
    assert local <= set(re.findall(r'"(--[^"]*)"', DOCKERFILE))


def triton_source() -> str:
    return (ROOT / triton.__name__.replace(".", "/")).with_suffix(".py").read_text()


def test_the_servers_are_of_the_versions_that_run_locally() -> None:
    pinned = json.dumps([str(pin) for pin in pins.pinned("kafka")]) + json.dumps(
        [str(pin) for pin in pins.pinned("registry")]
    )
    images = {name: service.get("image", "") for name, service in SERVICES.items()}
    assert images["opensearch"] == f"opensearchproject/opensearch:{opensearch.VERSION}"
    for name in ("kafka", "registry"):
        assert images[name].rpartition(":")[2] in pinned
    assert images["postgres"] == "postgres:18"


def test_ports_are_published_on_loopback_only() -> None:
    ports = [unset(port) for service in SERVICES.values() for port in service.get("ports", ())]
    assert {port.split(":")[0] for port in ports} == {"127.0.0.1"}


def test_what_is_named_is_declared() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        assert {volume.split(":")[0] for volume in service.get("volumes", ())} <= set(COMPOSE["volumes"])
        assert {config["source"] for config in service.get("configs", ())} <= set(COMPOSE["configs"])
        if "build" in service:
            assert re.search(rf"^FROM \S+ AS {service['build']['target']}$", DOCKERFILE, re.MULTILINE)


def test_secrets_have_no_default_and_say_so_when_they_are_missing() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.findall(r"PASSWORD[A-Z_]*:-", text)
    assert len(re.findall(r"PASSWORD[A-Z_]*:\?set it in .env", text)) >= 13


def test_everything_that_the_images_copy_is_there_and_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(re.fullmatch(name.replace("*", ".*"), source.split("/")[0]) for name in allowed), source
