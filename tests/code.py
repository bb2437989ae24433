"""Our own code as data, for tests of how it hangs together."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


def sources(*places: str) -> Iterator[Path]:
    """The Python files of packages and folders, by name; a file is itself."""
    for place in places:
        path = ROOT / place
        yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(path.read_text(), str(path))


def imported(tree: ast.Module) -> set[str]:
    """Dotted names of everything a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


def made(tree: ast.Module) -> set[str]:
    """Names of the classes a module may make: called directly, or by a constructor such as `Event.of`."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            names |= {called.id} if isinstance(called, ast.Name) else set()
            names |= {called.attr} if isinstance(called, ast.Attribute) else set()
    return names


def named(tree: ast.Module) -> set[str]:
    """Every name a module uses."""
    found = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
