"""What is declared is used: each event has a topic, a writer that makes it and a reader that knows it."""

import re

import pytest

from schemas.all import EVENTS
from schemas.event import Event
from tests.code import ROOT, made, named, sources, tree_of
from topics.catalogue import DEAD_LETTERS, PARTITIONS, Topic, document_key, inbox
from topics.generate import EVERY

PAIRS = [(topic, event) for topic in EVERY for event in topic.events]
FOLDERS = {
    "api": ("api", "infra/access.py", "audit"),
    "ops": ("ops", "infra/access.py", "audit"),
    "chat": ("streams/chat",),
    "inboxes": ("streams/inboxes",),
    "documents": ("streams/documents",),
    "views": ("streams/views",),
    "source local": ("examples", "docs"),  # what other systems copy
    "auditors": ("audit",),
    "publishers": ("tests",),  # they are outside: tests stand for them
}
DELIVERY = ("streams",)  # dead letters are made once, for all workers


def label(value: Topic | type[Event]) -> str:
    return value.name if isinstance(value, Topic) else value.__name__


def test_every_event_travels_on_exactly_one_topic() -> None:
    assert sorted(event.__name__ for _, event in PAIRS) == sorted(EVENTS)


@pytest.mark.parametrize(("topic", "event"), PAIRS, ids=label)
def test_each_event_is_made_by_a_writer_of_its_topic(topic: Topic, event: type[Event]) -> None:
    assert topic.writers
    folders = [folder for writer in topic.writers for folder in FOLDERS[writer]]
    files = list(sources(*(DELIVERY if topic is DEAD_LETTERS else folders)))
    if topic.ours:
        assert any(event.__name__ in made(tree_of(path)) for path in files), f"nothing in {folders} makes {event}"
    else:  # an outside system knows the name of a schema, not our classes
        shown = files + [page for folder in folders for page in (ROOT / folder).rglob("*.md")]
        assert any(event.__name__ in path.read_text() for path in shown), f"{folders} do not show how to say {event}"


@pytest.mark.parametrize(("topic", "event"), [pair for pair in PAIRS if pair[0] is not DEAD_LETTERS], ids=label)
def test_each_event_is_known_to_a_reader_of_its_topic(topic: Topic, event: type[Event]) -> None:
    assert topic.readers
    folders = [folder for reader in topic.readers for folder in FOLDERS[reader]]
    assert any(event.__name__ in named(tree_of(path)) for path in sources(*folders)), f"{folders} do not know {event}"


def test_names_are_kebab_case_and_used_once() -> None:
    names = [topic.name for topic in EVERY]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", name) for name in names)


def test_every_topic_has_the_same_number_of_partitions_so_that_a_key_has_one_number_everywhere() -> None:
    assert {topic.partitions for topic in EVERY} == {PARTITIONS}


def test_only_inboxes_are_written_by_others() -> None:
    assert [topic.name for topic in EVERY if not topic.ours] == ["documents-local"]
    assert inbox("wiki").name == "documents-wiki"
    assert not inbox("wiki").ours


def test_a_document_key_is_its_collection_and_its_id() -> None:
    assert document_key("handbook", "a/b") == "handbook/a/b"
