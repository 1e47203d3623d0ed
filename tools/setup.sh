#!/usr/bin/env bash
# Makes .venv from the versions in requirements.lock and puts the project into it. `make setup` calls it.
#
# PYTHON          the interpreter to use; without it the first of 3.11-3.13 on the PATH
# PIP_FIND_LINKS  a local folder of wheels; a torch wheel there goes before any other
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python

find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python; do
        # Run it: a name on the PATH may be a shim with nothing behind it.
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "error: no Python 3.11, 3.12 or 3.13 on the PATH; install one, or set PYTHON to it." >&2
    return 1
}

# The requirement of one package as locked, such as torch==2.13.0.
locked() { grep -o "^$1==[^ ;]*" requirements.lock; }

# The same with the hashes of its files, as lines of a requirements file.
with_hashes() { awk -v name="$1==" '/^[^ ]/ { is_wanted = index($0, name) == 1 } is_wanted' requirements.lock; }

# uv is quick and chooses the build of torch; where it cannot do its part, pip does.
uv_install() { "$python" -m uv pip install --python "$python" "$@"; }
pip_install() { "$python" -m pip install --disable-pip-version-check "$@"; }

# Torch comes last and by itself: which of its builds fits is a question of the machine, not of the lock. All that it
# needs is there by then, but for the CUDA packages of such a build.
install_torch() {
    local torch where
    torch=$(locked torch)
    where=(--torch-backend auto)
    if [ -n "${PIP_FIND_LINKS:-}" ] &&
        uv_install --quiet --dry-run --no-deps --no-index --find-links "$PIP_FIND_LINKS" "$torch" 2>/dev/null; then
        where=(--find-links "$PIP_FIND_LINKS")
    fi
    uv_install "${where[@]}" "$torch" || pip_install "$torch"
}

found=$(find_python)
if [ ! -x "$python" ]; then
    echo "Making .venv with $("$found" --version)."
    "$found" -m venv --clear .venv
fi
lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT
with_hashes uv >"$lists/uv.txt"
grep -v '^torch==' requirements.lock >"$lists/all.txt"
pip_install --quiet --require-hashes --requirement "$lists/uv.txt" ||
    echo "uv cannot be installed: pip takes its place, which is slower." >&2
uv_install --no-deps --require-hashes --requirement "$lists/all.txt" ||
    pip_install --no-deps --require-hashes --requirement "$lists/all.txt"
install_torch
pip_install --quiet --no-deps --no-build-isolation --editable .
