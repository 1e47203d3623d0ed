#!/usr/bin/env bash
# Fetches RWKU into this folder: chosen targets or all 200, from the Hugging Face hub or from a local copy.
#   bash data/rwku/download_rwku_data.sh 1_Stephen_King 2_Confucius
#   bash data/rwku/download_rwku_data.sh --all [--from DIR] [--out DIR] [--revision COMMIT]
#   bash data/rwku/download_rwku_data.sh --verify
# The same command again resumes where it stopped. Data: CC-BY-4.0, Jin et al. 2024.
#
# Runs in the project's Python: $PYTHON, the .venv of this checkout, an activated environment, or that of `atu`.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
export PYTHONPATH="$root/src${PYTHONPATH:+:$PYTHONPATH}"

check='import importlib.util as u, atu.cli; raise SystemExit(u.find_spec("huggingface_hub") is None)'
for python in ${PYTHON:+"$PYTHON"} "$root/.venv/bin/python" python3 python; do
    if "$python" -c "$check" 2>/dev/null; then
        exec "$python" -m atu data rwku --out "$here" "$@"
    fi
done
if command -v atu >/dev/null; then
    unset PYTHONPATH # of the package that this command belongs to
    exec atu data rwku --out "$here" "$@"
fi
echo "error: no Python here has what this project needs: run \`make setup\` in $root, or set PYTHON to one that has." >&2
exit 2
