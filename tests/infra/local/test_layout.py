"""Folders: another account reaches its data, and nobody else reads what is private."""

import os
import tempfile
from pathlib import Path

from infra.local.layout import Account, is_passable, placed, write_private
from infra.local.secrets import secret

ME = Account(os.getuid())


def test_data_below_a_private_folder_moves_to_where_the_servers_account_can_go(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "clone").mkdir(parents=True)
    home.chmod(0o700)
    moved = placed(home / "clone/data", "data", account=ME, relocated=tmp_path / "system")
    assert moved.parent == tmp_path / "system"
    assert moved == placed(home / "clone/data", "data", account=ME, relocated=tmp_path / "system")
    assert moved != placed(home / "other/data", "data", account=ME, relocated=tmp_path / "system")


def test_a_link_that_an_earlier_start_left_changes_nothing_about_that(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o700)
    with tempfile.TemporaryDirectory() as passable:
        Path(passable).chmod(0o711)
        moved = placed(home / "data", "data", account=ME, relocated=Path(passable))
        moved.mkdir()
        (home / "data").symlink_to(moved)
        assert placed(home / "data", "data", account=ME, relocated=Path(passable)) == moved


def test_data_stays_where_it_is_when_servers_run_as_the_caller(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert placed(tmp_path / "data", "data", account=Account(), relocated=tmp_path / "system") == tmp_path / "data"


def test_a_folder_is_passable_only_when_every_folder_above_it_is(tmp_path: Path) -> None:
    inner = tmp_path / "outer/inner/deep"
    inner.mkdir(parents=True)
    (tmp_path / "outer").chmod(0o700)
    assert not is_passable(inner)


def test_a_password_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = secret(tmp_path, "password", Account())
    assert first == secret(tmp_path, "password", Account())
    assert len(first) >= 32
    assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600


def test_a_private_file_is_never_seen_half_written(tmp_path: Path) -> None:
    write_private(tmp_path / "env", "a\n", Account())
    write_private(tmp_path / "env", "b\n", Account())
    assert [path.name for path in tmp_path.iterdir()] == ["env"]
    assert (tmp_path / "env").read_text() == "b\n"
