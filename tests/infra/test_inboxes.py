"""inboxes.yaml: what it gives, and what it says when it is wrong."""

from pathlib import Path

import pytest

from infra.inboxes import read_inboxes
from infra.settings import Settings
from schemas.errors import Invalid


def settings_with(folder: Path, text: str | bytes) -> Settings:
    file = folder / "inboxes.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return Settings(inboxes_file=file)


def test_the_file_of_this_repository_is_right() -> None:
    assert [(inbox.name, inbox.owner) for inbox in read_inboxes(Settings())] == [("local", "admin")]


def test_no_inbox_at_all_is_fine(tmp_path: Path) -> None:
    assert read_inboxes(settings_with(tmp_path, "inboxes: []")) == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("inboxes:\n- {name: a, owner: ann}\n- {name: a, owner: bob}", "named a stand there more than once"),
        ("inboxes:\n- {name: A/b, owner: ann}", "name"),
        ("inboxes:\n- {name: a}", "owner"),
        ("inboxes:\n- {name: a, owner: ''}", r"inboxes\.0\.owner: .*, not ''"),
        ("inboxes:\n- {name: a, owner: 'user:ann'}", r"inboxes\.0\.owner: .*, not 'user:ann'"),
        ("inboxes:\n- {name: a, owner: ann, collections: [Man uals]}", r"collections\.0: .*, not 'Man uals'"),
        ("inboxes:\n- {name: a, owner: ann, readers: [staff]}", r"readers\.0: .*, not 'staff'"),
        ("inboxes:\n- {name: a, owner: ann, owner: bob}", "'owner' stands there twice"),
        ("inboxes: [", "inboxes.yaml"),
        ("", "inboxes.yaml"),
        (b"inboxes: [\xff]", "inboxes.yaml"),
    ],
)
def test_what_is_wrong_is_told_with_its_file(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read_inboxes(settings_with(tmp_path, text))


def test_a_file_that_is_missing_or_cannot_be_read_is_told_with_what_helps(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="TURNLOG_INBOXES_FILE"):
        read_inboxes(Settings(inboxes_file=tmp_path / "nowhere.yaml"))
    with pytest.raises(Invalid, match="cannot be read"):
        read_inboxes(Settings(inboxes_file=tmp_path))
