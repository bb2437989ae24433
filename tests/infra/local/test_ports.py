"""Ports: chosen in one place, and whoever holds one is named."""

import os
import socket

import pytest

from infra.local.ports import Ports, check_free
from schemas.errors import Invalid


def test_a_port_in_use_is_named_with_its_holder_and_the_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(Invalid) as refused:
            check_free({"kafka": port})
    text = str(refused.value)
    assert f"port {port} (kafka) is in use by" in text
    assert f"(pid {os.getpid()})" in text
    assert "make run PORTS='kafka=NUMBER'" in text


def test_the_environment_and_arguments_choose_ports() -> None:
    ports = Ports.chosen({"TURNLOG_PORT_TRITON_GRPC": "7001", "TURNLOG_KAFKA_BOOTSTRAP": "x"}, ["api=9000"])
    assert (ports.triton_grpc, ports.api, ports.kafka) == (7001, 9000, Ports().kafka)


@pytest.mark.parametrize("wrong", ["kafkaa=1", "kafka", "kafka=x", "kafka=0", "kafka=70000"])
def test_a_port_that_cannot_be_is_refused_with_the_names_there_are(wrong: str) -> None:
    with pytest.raises(Invalid, match="registry_management"):
        Ports.chosen({}, [wrong])


@pytest.mark.parametrize("twice", [["api=27180", "views=27180"], [f"api={Ports().views}"]])
def test_one_port_for_two_is_refused_with_the_names_of_both(twice: list[str]) -> None:
    with pytest.raises(Invalid, match=r"is given to api and to views"):
        Ports.chosen({}, twice)


def test_a_port_that_needs_root_is_not_said_to_be_in_use() -> None:
    with pytest.raises(Invalid, match=r"port 80 \(api\) needs root, as all under 1024 do\n.*choose another"):
        check_free({"api": 80}, lambda _: PermissionError(13, "Permission denied"))


def test_free_ports_differ_from_each_other() -> None:
    ports = [
        port for name in ("api", "kafka", "triton", "registry", "opensearch") for port in Ports.free().of(name).values()
    ]
    assert len(set(ports)) == len(ports)
