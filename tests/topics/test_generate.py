"""The picture of the topics is made from the catalogue, and a stale one is noticed."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.code import ROOT
from topics.generate import EVERY, PAGE, page


def generate(tree: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "topics.generate", *arguments]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_the_committed_page_is_that_of_the_catalogue() -> None:
    assert PAGE.read_text() == page()


def test_the_picture_shows_every_topic_with_its_writers_and_readers() -> None:
    shown = page()
    for topic in EVERY:
        assert f'[("{topic.name}")]' in shown
        assert shown.count(f"--> topic_{topic.name.replace('-', '_')}\n") == len(topic.writers)
        assert shown.count(f"  topic_{topic.name.replace('-', '_')} --> ") == len(topic.readers)


def test_every_example_that_the_page_links_to_exists() -> None:
    links = [part.split(")")[0] for part in page().split("](../")[1:]]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_a_stale_page_fails_the_check_and_is_written_by_generate(tmp_path: Path) -> None:
    for package in ("schemas", "topics"):
        shutil.copytree(ROOT / package, tmp_path / package)
    catalogue = tmp_path / "topics" / "catalogue.py"
    catalogue.write_text(catalogue.read_text().replace("What was asked.", "Whatever was asked."))
    assert generate(tmp_path, "--check") == (1, "topics/README.md is older than the catalogue; run `make generate`\n")
    assert generate(tmp_path) == (0, "wrote topics/README.md\n")
    assert generate(tmp_path, "--check") == (0, "")
