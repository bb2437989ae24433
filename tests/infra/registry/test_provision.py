"""A schema that would break a reader is refused twice: by `make check`, and by the registry."""

import re
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.registry.provision import provision
from infra.settings import Settings
from schemas.versions import FOLDER
from tests.environment import environment
from tests.servers import Servers
from topics.catalogue import DOCUMENTS_LOCAL

ROOT = FOLDER.parents[1]
EVENT = 'class DocumentRetracted(Event):\n    """An outside system says: forget this document."""\n'
REQUIRED = '    legal_basis: Annotated[str, Doc("why it must go")]\n'
OPTIONAL = '    legal_basis: Annotated[str | None, Doc("why it must go")] = None\n'


@pytest.fixture
def alone(servers: Servers, tmp_path: Path) -> Settings:
    """A namespace of its own; nothing is registered in it yet."""
    return servers.settings.model_copy(
        update={
            "namespace": f"t{secrets.token_hex(5)}-",
            "data": tmp_path / "data",
            "inboxes_file": ROOT / "inboxes.yaml",
        }
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the code that a test may change."""
    for package in ("schemas", "topics", "infra"):
        shutil.copytree(ROOT / package, tmp_path / package)
    return tmp_path


def add_field(tree: Path, field: str) -> None:
    """Changes the class of an event, as somebody would."""
    path = tree / "schemas" / "documents.py"
    text = path.read_text()
    assert text.count(EVENT) == 1
    path.write_text(text.replace(EVENT, EVENT + "\n" + field))


def python(tree: Path, *arguments: str, settings: Settings | None = None) -> tuple[int, str]:
    """Exit code and everything said by a module of the tree."""
    given = environment(settings) if settings else None
    done = subprocess.run([sys.executable, *arguments], cwd=tree, env=given, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_the_committed_schemas_are_those_of_the_classes(tree: Path) -> None:
    assert python(tree, "-m", "schemas.generate", "--check") == (0, "")


def test_an_incompatible_change_is_refused_by_the_check_and_by_the_registry(tree: Path, alone: Settings) -> None:
    assert python(tree, "-m", "infra.registry.provision", settings=alone)[0] == 0
    add_field(tree, REQUIRED)

    code, said = python(tree, "-m", "schemas.generate", "--check")
    assert code == 1
    assert "DocumentRetracted: incompatible" in said
    assert "legal_basis" in said
    assert python(tree, "-m", "schemas.generate")[0] == 1
    assert not (tree / "schemas/avro/DocumentRetracted.v2.avsc").exists()

    force_second_version(tree)
    code, said = python(tree, "-m", "infra.registry.provision", settings=alone)
    assert code == 1
    assert re.search(r"the registry refuses .*DocumentRetracted.*incompatible", said)


def force_second_version(tree: Path) -> None:
    """What somebody does who writes the file by hand, past the check."""
    script = (
        "import json; from schemas.documents import DocumentRetracted; from schemas.versions import FOLDER, schema_of;"
        "(FOLDER / 'DocumentRetracted.v2.avsc').write_text(json.dumps(schema_of(DocumentRetracted)))"
    )
    assert python(tree, "-c", script) == (0, "")


def test_an_optional_field_becomes_a_second_version_that_reads_and_registers(tree: Path, alone: Settings) -> None:
    assert python(tree, "-m", "infra.registry.provision", settings=alone)[0] == 0
    add_field(tree, OPTIONAL)

    code, said = python(tree, "-m", "schemas.generate", "--check")
    assert (code, "run `make generate`" in said) == (1, True)
    assert python(tree, "-m", "schemas.generate") == (0, "wrote DocumentRetracted.v2.avsc\n")
    assert python(tree, "-m", "schemas.generate", "--check") == (0, "")
    code, said = python(tree, "-m", "infra.registry.provision", settings=alone)
    assert (code, said.splitlines()) == (0, [f"{alone.namespace}documents-local-turnlog.DocumentRetracted v2"])


def test_the_check_is_part_of_make_check() -> None:
    said = subprocess.run(
        ["make", "-n", "check"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert "schemas.generate --check" in said
    assert "topics.generate --check" in said


def test_a_second_provisioning_has_nothing_to_do(alone: Settings) -> None:
    assert len(provision(alone, (DOCUMENTS_LOCAL,))) == len(DOCUMENTS_LOCAL.events)
    assert provision(alone, (DOCUMENTS_LOCAL,)) == []
