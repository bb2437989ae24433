"""What the pages point to exists, and what they tell people to type, too."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.code import ROOT
from turnlog.main import app

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "topics" / "README.md",
    ROOT / "client" / "README.md",
]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert named
    assert named <= targets


def test_every_command_and_option_that_the_readme_shows_exists() -> None:
    shown = re.findall(r"^    \.venv/bin/turnlog ([a-z]+)(.*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(shown) >= 3
    for command, rest in shown:
        known = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        options = re.findall(r"(?<=\s)--[a-z-]+", rest.split("#")[0])
        assert [option for option in options if option not in known] == []
