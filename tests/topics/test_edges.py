"""`head -qn1 streams/*/*.py` prints how events flow: each first line names topics that exist, together all of them."""

import ast
import re

from tests.code import sources, tree_of
from topics.generate import EVERY

TOPICS = {topic.name for topic in EVERY} - {"documents-local"} | {"documents-NAME"}
EDGE = re.compile(r"([a-zA-Z, -]+?) -> ([a-z_.*, -]+): ")


def edges() -> list[tuple[set[str], set[str]]]:
    """Read topics and written places, a pair a module."""
    found = []
    for path in sources("streams"):
        line = (ast.get_docstring(tree_of(path)) or "").partition("\n")[0]
        if " -> " in line and not line.startswith("kept topics"):
            edge = EDGE.match(line)
            assert edge, f"{path}: {line}"
            found.append((set(edge[1].split(", ")), {place.strip() for place in edge[2].split(",")}))
    return found


def test_every_edge_is_between_topics_of_the_catalogue_or_ends_in_the_views() -> None:
    assert edges()
    for read, written in edges():
        assert read <= TOPICS
        assert {place for place in written if place not in TOPICS} <= views(written)


def views(written: set[str]) -> set[str]:
    """In `views.a, b` the second is one, too."""
    return written if any(place.startswith("views.") for place in written) else set()


def test_every_topic_that_a_worker_reads_has_an_edge_that_begins_there() -> None:
    workers = {"chat", "documents", "inboxes", "views"}
    wanted = {topic.name for topic in EVERY if workers & set(topic.readers)} - {"documents-local"} | {"documents-NAME"}
    assert wanted <= {topic for read, _ in edges() for topic in read}
