#!/usr/bin/env bash
# Resolves the newest versions that pyproject.toml allows into requirements.lock, for Python 3.11-3.13 and
# every system, with the hashes of their files. `make lock` calls it. Torch keeps its version: to move it, change its
# line first.
set -euo pipefail
cd "$(dirname "$0")/.."

new=$(mktemp)
{
    echo "# Made by \`make lock\`. Torch has no hashes, and its CUDA packages are not listed: they belong to the build of"
    echo "# torch that fits the machine, which tools/setup.sh chooses."
    .venv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --extra dev --upgrade --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        --constraint <(grep -o '^torch==[^ ;]*' requirements.lock) pyproject.toml |
        awk '/^[^ ]/ { left_out = /^(nvidia-|cuda-|triton)/; is_torch = /^torch==/; if (is_torch) sub(/ \\$/, "") }
             !left_out && !(is_torch && /^ /)'
} >"$new"
mv "$new" requirements.lock
