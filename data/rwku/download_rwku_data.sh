#!/usr/bin/env bash
# Fetches RWKU into this folder: chosen targets or all 200, from the Hugging Face hub or from a copy at hand.
#   bash data/rwku/download_rwku_data.sh 1_Stephen_King 2_Confucius
#   bash data/rwku/download_rwku_data.sh --all [--from DIR] [--out DIR] [--revision COMMIT]
#   bash data/rwku/download_rwku_data.sh --verify
# The same command again goes on where it stopped. Data: CC-BY-4.0, Jin et al. 2024.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="$here/../../src${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python3}" -m atu.benchmarks.rwku.download --out "$here" "$@"
