"""The folder of an installation: whose data is in it."""

import os
from pathlib import Path

import pytest

from infra.local.ports import Ports
from ops.installation import Installation
from schemas.errors import Invalid


@pytest.mark.skipif(os.getuid() != 0, reason="only root's servers run as another account")
def test_root_after_a_user_in_one_private_home_is_told_whose_data_is_there_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    data = tmp_path / "home/.turnlog/servers/kafka"
    data.mkdir(parents=True)
    (data / "log").write_text("the user's")
    with pytest.raises(Invalid, match=r"servers holds the data of a run that was not root's[^\0]*Run as that user, or"):
        Installation.at(tmp_path / "home/.turnlog", Ports.free())
    assert (data / "log").read_text() == "the user's"
