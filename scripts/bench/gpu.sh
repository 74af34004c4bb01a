#!/usr/bin/env bash
# Training on a GPU beside PyTorch: one table, and a JSON file. Needs no network.
#   scripts/bench/gpu.sh [--python PYTHON] [--smoke] [--help, for the rest]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}
rest=()
while [ $# -gt 0 ]; do
  case $1 in
    --python) python=${2:?--python wants the path of a Python}; shift 2 ;;
    --python=*) python=${1#*=}; shift ;;
    *) rest+=("$1"); shift ;;
  esac
done
command -v "$python" >/dev/null ||
  { echo "there is no Python called $python; say which: --python PATH, or PYTHON=PATH" >&2; exit 2; }
export PYTHONPATH="$here:$here/../..${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" "$here/gpu/run.py" ${rest[@]+"${rest[@]}"}
