"""Tests have servers of their own, whatever the shell that starts them has in its environment."""

import os
import subprocess
import sys

import pytest

from tests.code import ROOT
from tests.environment import attached


@pytest.mark.skipif(attached(), reason="these tests were told to use other servers")
def test_nothing_names_an_installation_that_is_in_use() -> None:
    assert {name for name in os.environ if name.startswith("TURNLOG_")} <= {"TURNLOG_CACHE"}


@pytest.mark.parametrize("told", ["", "attached"])
def test_what_was_sourced_for_other_tools_is_used_only_when_that_was_asked_for(told: str) -> None:
    live = {"TURNLOG_KAFKA_BOOTSTRAP": "127.0.0.1:9", "TURNLOG_NAMESPACE": "live-", "TURNLOG_TEST_SERVERS": told}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "names_an_installation"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | live, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout
    assert ("1 skipped" in done.stdout) is (told == "attached")
