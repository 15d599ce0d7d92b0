#!/usr/bin/env bash
# On a GPU host that has torch installed and no network: every command of docs/tutorial.md, as a new user types them.
#   tests/gpu/prepare.sh        before, where pip works
#   tests/gpu/tutorial.sh OUT
# Writes OUT/tutorial.md: the page with what the commands showed.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
source "$root/tests/gpu/start.sh" "$1" --also numpy safetensors

cp -r "$root/docs/tutorial/." .
unset UV_NATIVE_TLS
mkdir "$work/none"
export XDG_CONFIG_HOME=$work/none XDG_CONFIG_DIRS=$work/none # the host's own settings of uv
export PATH="$tool:$PATH" GPUENV_TORCH_INDEX=$base/whl GPUENV_INDEX=$base/simple GPUENV_NO_PROGRESS=1
export UV_DEFAULT_INDEX=$base/simple UV_PYTHON=$host_python
step "the tutorial"
"$host_python" "$root/tests/support/transcript.py" "$root/docs/tutorial.md" >"$out/tutorial.md"
cat "$out/tutorial.md"
step "done"
