#!/usr/bin/env bash
# On a GPU host with torch installed and no network: the doctor on the host's own environment, and on faults made for it.
#   tests/gpu/prepare.sh          before, where pip works: gpuenv's own wheels and two small libraries into .carry/
#   tests/gpu/doctor_cases.sh OUT
# Nothing of the host is changed: no compute mode, no device node, no module. OUT gets doctor.log, doctor.json, report.json.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
host_python=$(command -v python3)
uv venv -q --no-config --python "$host_python" "$work/tool"
uv pip install -q --no-cache --no-config --python "$work/tool/bin/python" --no-index --find-links "$root/.carry" gpuenv
export PYTHONUNBUFFERED=1 NO_COLOR=1
code=0
"$work/tool/bin/python" "$root/tests/gpu/doctor_cases.py" "$out" "$("$host_python" -c 'import sys; print(sys.prefix)')" \
  "$work" "$root/.carry" 2>&1 | tee "$out/doctor.log" || code=$?
exit "$code"
