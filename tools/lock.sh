#!/usr/bin/env bash
# Resolves the newest versions that pyproject.toml allows into requirements.lock, for Python 3.11-3.13 and
# every system. `make lock` calls it. Torch keeps its version: to move it, change its line first.
set -euo pipefail
cd "$(dirname "$0")/.."

new=$(mktemp)
{
    echo "# Made by \`make lock\`. Torch's CUDA packages are not listed: they belong to the build of torch that"
    echo "# fits the machine, which tools/setup.sh chooses."
    .venv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --extra dev --upgrade \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --constraint <(grep '^torch==' requirements.lock) pyproject.toml |
        grep -Ev '^(nvidia-|cuda-|triton)'
} >"$new"
mv "$new" requirements.lock
