"""How Triton starts on this machine: the server of a Python package, in an environment of its own."""

import ctypes
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from infra.local.certificates import with_certificates
from infra.local.layout import Account, make_private
from infra.local.local import Local
from infra.local.parts import Making, Part
from infra.local.pins import key_of, sha256_of
from infra.local.probes import answers
from infra.local.processes import sweep_triton_memory
from infra.local.server import Server
from schemas.errors import Invalid

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements-triton.txt"
MODELS = ROOT / "triton_models"
DOWNLOAD_BYTES = 150_000_000
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def part() -> Part:
    """The environment in the cache: it needs numpy 1, ours has numpy 2."""
    key = key_of(sha256_of(REQUIREMENTS), sys.base_prefix, sys.version)
    return Part("triton", key, _make, DOWNLOAD_BYTES, 340_000_000)


def _make(making: Making) -> None:
    making.say(f"triton: installing its environment, about {DOWNLOAD_BYTES / 1e6:.0f} MB")
    environment(making.into, REQUIREMENTS)
    making.progress.add(DOWNLOAD_BYTES)  # by another program, that says nothing on the way


def environment(folder: Path, requirements: Path) -> None:
    """Makes a virtual environment of exactly the locked packages; raises OSError with what uv said."""
    uv = Path(sys.executable).with_name("uv")
    steps = (
        [str(uv), "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)],
        [
            str(uv),
            "pip",
            "sync",
            "--quiet",
            "--require-hashes",
            "--python",
            str(folder / "bin/python"),
            str(requirements),
        ],
    )
    for command in steps:
        done = subprocess.run(command, env=with_certificates(os.environ), capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"uv could not install {requirements.name}:\n{done.stderr.strip()[-1500:]}")


def check_python() -> None:
    """Raises Invalid when this Python has no shared library, which the processes of Python models load."""
    library = f"libpython{PYTHON}.so.1.0"
    if (_library_folder() / library).exists():
        return
    try:
        ctypes.CDLL(library)
    except OSError as exc:
        raise Invalid(
            f"This Python ({sys.base_prefix}) has no {library}, which Triton's Python models need.\n"
            f"  Debian, Ubuntu: sudo apt-get install libpython{PYTHON}\n"
            f"  Fedora:         sudo dnf install python{PYTHON}-libs\n"
            f"  pyenv:          PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force {PYTHON}"
        ) from exc


def _library_folder() -> Path:
    return Path(str(sysconfig.get_config_var("LIBDIR")))


def triton(local: Local) -> Server:
    """Runs as the caller, also as root: its Python must be within reach, wherever that lies."""
    folder, site, ports = local.folder("triton"), _site(local), local.ports
    home = site / "pytriton/tritonserver"
    command = (
        str(home / "bin/tritonserver"),
        "--model-repository=models",  # from its folder, where it runs: a shell gets these paths, unquoted
        "--backend-directory=backends",
        *(f"--{name}-address=127.0.0.1" for name in ("http", "grpc", "metrics")),
        f"--http-port={ports.triton_http}",
        f"--grpc-port={ports.triton_grpc}",
        f"--metrics-port={ports.triton_metrics}",
        "--http-thread-count=2",
        "--allow-metrics=true",
        "--allow-gpu-metrics=false",
        f"--cache-directory={home}/caches",
        "--cache-config=local,size=67108864",
        "--exit-timeout-secs=5",
    )
    # A stub's interpreter is isolated: it finds its packages by the first python3 on PATH alone.
    paths = {
        "PATH": f"{local.parts['triton']}/bin:/usr/bin:/bin",
        "LD_LIBRARY_PATH": f"{_library_folder()}:{site}/nvidia_pytriton.libs",
    }
    return Server(
        name="triton",
        folder=folder,
        command=command,
        environment=local.environment("triton") | paths | {"TURNLOG_WORDS_LOG": str(folder / "words.log")},
        is_ready=lambda _: answers(ports.triton_http, "/v2/health/ready"),
        account=Account(),
        prepare=lambda: _prepare(local, home),
    )


def _site(local: Local) -> Path:
    return local.parts["triton"] / f"lib/python{PYTHON}/site-packages"


def _prepare(local: Local, home: Path) -> None:
    folder = make_private(local.folder("triton"), Account())
    sweep_triton_memory()
    backend = folder / "backends/python"
    backend.mkdir(parents=True, exist_ok=True)
    for source in (
        home / "backends/python/libtriton_python.so",
        home / "backends/python/triton_python_backend_utils.py",
        home / "python_backend_stubs" / PYTHON / "triton_python_backend_stub",
    ):
        target = backend / source.name
        target.unlink(missing_ok=True)  # a stub that still runs cannot be overwritten, but its name can be given away
        shutil.copyfile(source, target)
        target.chmod(0o755)
    _lay_out_models(folder / "models", local.parts["model"])


def _lay_out_models(repository: Path, model: Path) -> None:
    """A copy of the model repository with the built files in it; the clone itself is never written to."""
    shutil.rmtree(repository, ignore_errors=True)
    shutil.copytree(MODELS, repository, ignore=shutil.ignore_patterns("__pycache__", "*.py[co]", "__init__.py"))
    for stray in [entry for entry in repository.iterdir() if not (entry / "config.pbtxt").exists()]:
        shutil.rmtree(stray) if stray.is_dir() else stray.unlink()
    for name in ("minilm.fp32.onnx", "tokenizer.json"):
        (repository / "embedder/1" / name).symlink_to(model / name)
