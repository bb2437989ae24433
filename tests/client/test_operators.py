"""The operator's commands where only the client is installed: they say where they are."""

import subprocess
import sys

import typer

from ops.commands import plug
from turnlog.main import OPERATORS

ALONE = "import turnlog.main as it; it.entry_points = lambda group: (); it.main()"


def test_a_command_that_is_not_here_says_where_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, "replay", "--turn", "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "`turnlog replay` is an operator's command" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_all_that_are_plugged_in_are_known() -> None:
    fresh = typer.Typer()
    plug(fresh)
    commands = {command.callback.__name__ for command in fresh.registered_commands if command.callback}
    assert commands | {str(group.name) for group in fresh.registered_groups} == set(OPERATORS)
