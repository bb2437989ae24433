"""Settings that cannot be meant: every process names the variable and ends, with no value and no traceback."""

import os
import subprocess
import sys

import pytest

from ops.installation import ROOT

WRONG = {"TURNLOG_LIMITS__QUESTION_CHARACTERS": "sesame"}
FOR_GOOD = ("api", "streams.chat", "streams.documents", "streams.inboxes", "streams.views")
ONCE = ("infra.kafka.provision", "infra.opensearch.provision", "infra.postgres.migrate", "infra.registry.provision",
        "ops.provision")  # fmt: skip


@pytest.mark.parametrize(("module", "code"), [*((name, 78) for name in FOR_GOOD), *((name, 1) for name in ONCE)])
def test_a_setting_that_cannot_be_meant_is_named_and_ends_the_process(module: str, code: int) -> None:
    command = [sys.executable, "-m", module]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | WRONG, capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == code, said
    assert "TURNLOG_LIMITS__QUESTION_CHARACTERS: Input should be a valid integer" in said
    assert "sesame" not in said
    assert "Traceback" not in said
