"""Maintainers: resolves every dependency again and pins it, with hashes and without naming an index.

`python -m ops.lock [--upgrade]` writes requirements*.txt from requirements*.in, and infra/local/artifacts.json.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from infra.local.pins import FILE, artifact_of, sha256_of
from ops.installation import ROOT

# Raw: otherwise jgo reads each coordinate as a bill of materials, and log4j's would bring Kafka an older client.
KAFKA = (
    "org.apache.kafka:kafka_2.13:4.3.1",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.25.2",
    "org.apache.logging.log4j:log4j-core:2.25.2",
)
FLAT = {
    "opensearch": (
        "org.opensearch.distribution.integ-test-zip:opensearch:3.6.0::zip",
        "org.opensearch.plugin:opensearch-knn:3.6.0.0::zip",
        "org.opensearch.plugin:neural-search:3.6.0.0::zip",
        "com.ibm.icu:icu4j:77.1",
        "com.ibm.icu:icu4j-localespi:77.1",
    ),
    "registry": ("io.apicurio:apicurio-registry-app:3.3.3:all:tar.gz",),
    "java-example": ("org.apache.avro:avro:1.12.1", "org.eclipse.jdt:ecj:3.44.0"),  # for its test alone
}
OTHERS = ("dev", "clients", "issuer", "race-litellm", "race-openwebui")
WITHOUT_DEPENDENCIES = ("requirements-triton", "requirements-build")


def lock_packages(*, upgrade: bool) -> None:
    """requirements*.in -> requirements*.txt."""
    for name in ("requirements", *(f"requirements-{each}" for each in OTHERS), *WITHOUT_DEPENDENCIES):
        command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "--quiet", "--generate-hashes"]
        command += ["--no-emit-index-url", "--no-header", "--universal", "--python-version", "3.11"]
        command += ["--no-deps"] * (name in WITHOUT_DEPENDENCIES) + ["--upgrade"] * upgrade
        subprocess.run([*command, f"{name}.in", "--output-file", f"{name}.txt"], cwd=ROOT, check=True)


def lock_artifacts() -> None:
    """Coordinates -> every file with hash and size; at the user's nothing is resolved any more."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"kafka": _resolved(Path(folder))}
        found |= {part: [artifact_of(each, Path(folder)) for each in wanted] for part, wanted in FLAT.items()}
        pins = {part: sorted(map(_pin, files), key=lambda pin: str(pin["id"])) for part, files in found.items()}
    FILE.write_text(json.dumps(pins, indent=1) + "\n")


def _resolved(folder: Path) -> list[Any]:
    from jgo.maven import Dependency, MavenContext

    wanted = [Dependency(artifact_of(each, folder), scope="runtime", raw=True) for each in KAFKA]
    first, rest = MavenContext(repo_cache=folder, timeout=60).resolver.resolve(wanted)
    return [dependency.artifact for dependency in first + rest]


def _pin(artifact: Any) -> dict[str, str | int]:
    path = Path(artifact.resolve())
    coordinates = (artifact.groupId, artifact.artifactId, artifact.version, artifact.classifier, artifact.packaging)
    return {"id": ":".join(coordinates), "sha256": sha256_of(path), "size": path.stat().st_size}


def main() -> int:
    """Takes about half a minute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="packages to the newest that the .in files allow")
    lock_packages(upgrade=parser.parse_args().upgrade)
    lock_artifacts()
    return 0


if __name__ == "__main__":
    sys.exit(main())
