# Read by the scripts beside it (`source start.sh OUT [words for repack.py]`): gpuenv from .carry, the host's packages as
# an index on loopback, an empty project folder. Leaves $out, $work, $tool, $base, $sources and the function step.
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
exec > >(tee "$out/run.log") 2>&1
step() { printf '\n== %s (%ss)\n' "$1" "$SECONDS"; }

step "gpuenv from .carry"
host_python=$(command -v python3)
uv venv -q --no-config --python "$host_python" "$work/tool"
uv pip install -q --no-cache --no-config --python "$work/tool/bin/python" --no-index --find-links "$root/.carry" gpuenv
tool=$work/tool/bin

step "repack what is installed"
"$host_python" "$root/tests/gpu/repack.py" "$work/index" "$@"
"$host_python" "$root/tests/gpu/serve.py" "$work/index" "$work/port" $$ &
for _ in $(seq 100); do [ -f "$work/port" ] && break; sleep 0.1; done
base=http://127.0.0.1:$(cat "$work/port")

# A clean run must not lean on what this host's image sets.
unset LD_LIBRARY_PATH CUDA_HOME TORCH_CUDA_ARCH_LIST PYTHONPATH UV_INDEX_URL || true
export PIP_CONFIG_FILE=/dev/null UV_PYTHON_DOWNLOADS=never NO_COLOR=1
mkdir "$work/project"
cd "$work/project"
sources=(--torch-index "$base/whl" --index "$base/simple" --no-progress)
