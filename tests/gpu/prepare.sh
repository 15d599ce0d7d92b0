#!/usr/bin/env bash
# Here, where pip works: put gpuenv and what it needs as wheels into .carry/ for a GPU host without network.
# Usage: tests/gpu/prepare.sh [PYTHON_VERSION]
set -euo pipefail
cd "$(dirname "$0")/../.."
version=${1:-3.12}
rm -rf .carry
mkdir .carry
python=${PYTHON:-.venv/bin/python}
"$python" -m pip wheel -q --no-deps -w .carry .
platforms=()
for name in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014 manylinux_2_12 manylinux2010 manylinux_2_5 manylinux1; do
  platforms+=(--platform "${name}_x86_64")
done
"$python" -m pip download -q --only-binary :all: --python-version "$version" --implementation cp "${platforms[@]}" \
  -d .carry .carry/gpuenv-*.whl
mkdir .carry/fake # stand-ins for NVML and CUDA, for a host without a C compiler
cc -O1 -shared -fPIC -Wl,-soname,libnvidia-ml.so.1 -o .carry/fake/libnvidia-ml.so tests/support/fake_nvml.c
cc -O1 -shared -fPIC -Wl,-soname,libcuda.so.1 -o .carry/fake/libcuda.so tests/support/fake_cuda.c
ls -l .carry
du -sh .carry
