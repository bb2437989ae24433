"""Fetching: what it needs is checked before it begins, and what it cannot do is said with the cure."""

from pathlib import Path

import pytest

from infra.local.certificates import with_certificates
from infra.local.pins import pinned
from ops.fetch import check_room, parts
from schemas.errors import Invalid


def test_a_full_disk_is_said_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as refused:
        check_room(tmp_path, 10**18)
    assert str(tmp_path) in str(refused.value)
    assert "MB free" in str(refused.value)
    assert "TURNLOG_CACHE=FOLDER" in str(refused.value)


def test_every_file_of_a_server_and_of_a_test_is_pinned_by_hash_and_size() -> None:
    pins = [pin for part in ("kafka", "opensearch", "registry", "java-example") for pin in pinned(part)]
    assert len(pins) == len({pin.id for pin in pins}) > 40
    assert all(len(pin.sha256) == 64 and pin.size > 0 and "SNAPSHOT" not in pin.id for pin in pins)


def test_every_part_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = [part.folder(tmp_path) for part in parts()]
    assert len(set(folders)) == len(folders)


def test_downloads_trust_the_system_where_nothing_else_is_said(tmp_path: Path) -> None:
    system = tmp_path / "certificates"
    assert with_certificates({"A": "1"}, system) == {"A": "1"}
    system.touch()
    assert with_certificates({}, system)["REQUESTS_CA_BUNDLE"] == str(system)
    assert with_certificates({"REQUESTS_CA_BUNDLE": "mine"}, system)["REQUESTS_CA_BUNDLE"] == "mine"
