"""Imports point one way, so that each part can be read, tested and replaced without those that stand on it."""

import ast

import pytest

from tests.code import ROOT, imported, sources, tree_of

MAY_IMPORT = {
    "schemas": set(),
    "topics": {"schemas"},
    "infra": {"schemas", "topics"},
    "retrieval": {"schemas", "topics", "infra"},
    "audit": {"schemas", "topics", "infra"},
    "streams": {"schemas", "topics", "infra", "retrieval"},
    "api": {"schemas", "topics", "infra", "retrieval", "audit"},
    "ops": {"schemas", "topics", "infra", "retrieval", "audit", "streams", "api"},
    "triton_models": set(),
    "client": set(),
}  # fmt: skip
OURS = {*MAY_IMPORT, "turnlog", "benchmarks", "tests"} - {"client"}
ITSELF = {"client": "turnlog"}
PLUGGED_IN = {"turnlog"}  # `ops` plugs its commands into the command line


def wrong(package: str, tree: ast.Module) -> set[str]:
    """The packages that a module of a package imports and may not."""
    ours = {name.split(".")[0] for name in imported(tree)} & OURS
    allowed = MAY_IMPORT[package] | {ITSELF.get(package, package)} | (PLUGGED_IN if package == "ops" else set())
    return ours - allowed


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    found = {str(path.relative_to(ROOT)): bad for path in sources(package) if (bad := wrong(package, tree_of(path)))}
    assert found == {}


@pytest.mark.parametrize(
    ("package", "line", "named"),
    [
        ("schemas", "from topics.catalogue import TURNS", "topics"),
        ("streams", "import api.app", "api"),
        ("api", "from streams.step import Step", "streams"),
        ("client", "def f():\n    from infra.settings import Settings", "infra"),
        ("infra", "from tests.servers import Servers", "tests"),
    ],
)
def test_the_wrong_way_is_noticed(package: str, line: str, named: str) -> None:
    assert wrong(package, ast.parse(line)) == {named}


def test_every_module_opens_with_a_sentence_that_says_why_it_exists() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in sources(*MAY_IMPORT, "benchmarks", "tests")
        if path.stat().st_size and not ast.get_docstring(tree_of(path))
    ]
    assert silent == []
