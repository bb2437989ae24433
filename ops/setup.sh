#!/bin/sh
# Makes .venv exactly what requirements.txt (or, for tests, requirements-dev.txt) says; does nothing when it is that already.
#   ops/setup.sh run|dev        PYTHON=... chooses the interpreter
set -eu
unset CDPATH
cd "$(dirname "$0")/.."
case ${1:-} in run) wanted=requirements.txt size=200 ;; dev) wanted=requirements-dev.txt size=250 ;; *) echo "setup.sh run|dev" >&2; exit 2 ;; esac

fail() { printf '%s\n' "$@" >&2; exit 1; }

stamp() { cat "$1" pyproject.toml client/pyproject.toml ops/setup.sh | sha256sum | cut -d' ' -f1; }

# Its scripts and the install of this project name its folder: in a clone that was moved or copied it would use the other.
here=$(pwd -P)
if [ -n "$(sed -n 2p .venv/.turnlog 2>/dev/null)" ] && [ "$(sed -n 2p .venv/.turnlog)" != "$here" ]; then
    echo "environment: .venv is of $(sed -n 2p .venv/.turnlog), making a new one" >&2
    rm -rf .venv
fi

# What tests need contains what a run needs: either will do for a run.
current=$(sed -n 1p .venv/.turnlog 2>/dev/null || true)
if [ -x .venv/bin/python ] && [ -n "$current" ]; then
    [ "$current" = "$(stamp "$wanted")" ] && exit 0
    [ "$wanted" = requirements.txt ] && [ "$current" = "$(stamp requirements-dev.txt)" ] && exit 0
fi

[ "$(uname -sm)" = "Linux x86_64" ] || fail "The servers run on Linux x86-64 only; this is $(uname -sm)."

# Of those found the best for us: one that makes environments, then one with the shared library that Triton's models load,
# then one built with profiles, as distributions build theirs: it runs our processes on a tenth less CPU.
look='import importlib.util as u, pathlib as p, sys, sysconfig as s
if not (3, 11) <= sys.version_info[:2] <= (3, 12): sys.exit("%d.%d" % sys.version_info[:2])
lib = "libpython%d.%d.so.1.0" % sys.version_info[:2]
shared = (p.Path(s.get_config_var("LIBDIR")) / lib).exists() or any(p.Path("/usr/lib").glob("*/" + lib))
profiled = sys.base_prefix == "/usr" or "--enable-optimizations" in (s.get_config_var("CONFIG_ARGS") or "")
print(4 * bool(u.find_spec("ensurepip")) + 2 * shared + profiled)'
python="" best=-1 old=""
for name in ${PYTHON:-python3 /usr/bin/python3 python3.12 python3.11}; do
    command -v "$name" >/dev/null 2>&1 || continue
    if worth=$("$name" -c "$look" 2>&1); then
        [ "$worth" -gt "$best" ] && { python=$name best=$worth; }
    else
        old="$old $name ($(printf '%s' "$worth" | tail -n 1))"
    fi
done
[ -n "$python" ] || fail "Python 3.11 or 3.12 is needed; found:${old:- none}." \
    "  Debian, Ubuntu: sudo apt-get install python3 python3-venv     others: see your system's packages, or pyenv" \
    "  one that lies elsewhere: PYTHON=/path/to/python3.12 make run"

begun=$(date +%s)
say() { echo "environment: $* ($(($(date +%s) - begun)) s)" >&2; }
if ! .venv/bin/python -c 'import sys' 2>/dev/null; then
    rm -rf .venv
    say "making .venv with $python"
    if ! said=$("$python" -m venv .venv 2>&1); then
        rm -rf .venv
        [ "$best" -ge 4 ] || fail "$python cannot make virtual environments." \
            "  Debian, Ubuntu: sudo apt-get install python3-venv     then run again"
        fail "$python could not make $here/.venv: $(printf '%s' "$said" | tail -n 1)" \
            "Is the disk full, the folder read-only, or a ':' in its path? Run again after mending it."
    fi
fi
rm -f .venv/.turnlog
if ! .venv/bin/uv --version >/dev/null 2>&1; then
    say "fetching the package installer, about 25 MB"
    awk '/^uv==/ { on = 1; print; next } /^[^ ]/ { on = 0 } on' requirements.txt > .venv/uv.txt
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .venv/uv.txt ||
        fail "The package installer could not be fetched: is there a network? Run again to go on."
fi
# Named in each call: UV_SYSTEM_PYTHON, where a user has set it, would turn it to their own Python and empty that.
ours="$PWD/.venv/bin/python"
# Where the system has certificates they are the ones to trust: a company's own among them.
[ ! -e /etc/ssl/certs/ca-certificates.crt ] || export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-1}"
say "installing $(grep -c '==' "$wanted") packages, about $size MB the first time"
.venv/bin/uv pip sync --python "$ours" --quiet --require-hashes "$wanted" ||
    fail "The Python packages could not be installed (see above). Run again to go on."
.venv/bin/uv pip install --python "$ours" --quiet --no-deps --offline -e . -e client ||
    fail "This project itself could not be installed into .venv (see above)."
{ stamp "$wanted"; echo "$here"; } > .venv/.turnlog
say "$(.venv/bin/python --version), made"
