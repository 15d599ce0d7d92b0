#!/usr/bin/env bash
# On a GPU host with torch, nvcc and no network: a package with CUDA code built from its source by `create --build`, beside
# the torch that was chosen, its kernel run on the card, and a second create that builds nothing.
#   tests/gpu/prepare.sh        before, where pip works
#   tests/gpu/source_build.sh OUT
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
source "$root/tests/gpu/start.sh" "$1" --also numpy packaging wheel

step "a source archive on the index"
mkdir -p rowscale-1.0/rowscale profiles
cat >rowscale-1.0/PKG-INFO <<'E'
Metadata-Version: 2.1
Name: rowscale
Version: 1.0
Requires-Dist: torch
E
cat >rowscale-1.0/pyproject.toml <<'E'
[build-system]
requires = ["setuptools", "torch"]
build-backend = "setuptools.build_meta"

[project]
name = "rowscale"
version = "1.0"
dependencies = ["torch"]
E
cat >rowscale-1.0/setup.py <<'E'
from setuptools import setup
from torch.utils.cpp_extension import BuildExtension, CUDAExtension

setup(
    packages=["rowscale"],
    ext_modules=[CUDAExtension("rowscale._C", ["rowscale.cu"])],
    cmdclass={"build_ext": BuildExtension},
)
E
echo 'from rowscale._C import scale' >rowscale-1.0/rowscale/__init__.py
sed -i '1i import torch' rowscale-1.0/rowscale/__init__.py
cat >rowscale-1.0/rowscale.cu <<'E'
#include <torch/extension.h>

__global__ void kernel(float *row, float factor, long size) {
  long at = blockIdx.x * (long)blockDim.x + threadIdx.x;
  if (at < size) row[at] *= factor;
}

void scale(torch::Tensor row, double factor) {
  kernel<<<(row.numel() + 255) / 256, 256>>>(row.data_ptr<float>(), factor, row.numel());
}

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) { module.def("scale", &scale); }
E
tar czf rowscale-1.0.tar.gz rowscale-1.0
mkdir -p "$work/index/simple/rowscale"
sum=$(sha256sum rowscale-1.0.tar.gz | cut -d' ' -f1)
mv rowscale-1.0.tar.gz "$work/index/simple/rowscale/"
printf '<!DOCTYPE html><html><body><a href="rowscale-1.0.tar.gz#sha256=%s">rowscale-1.0.tar.gz</a></body></html>\n' "$sum" \
  >"$work/index/simple/rowscale/index.html"
printf '%s\n' 'description = "torch and a package with CUDA code"' 'packages = ["torch", "rowscale"]' >profiles/built.toml

step "without --build: refused, with the command"
refused=0
"$tool/gpuenv" lock --profile built "${sources[@]}" || refused=$?
echo "exit code $refused"

step "create --build rowscale"
"$tool/gpuenv" create --profile built --build rowscale "${sources[@]}" --no-verify -v
cp lockfiles/pylock.built.toml "$out/"

step "its kernel on the card"
.venv-gpu/bin/python - <<'E'
import rowscale, torch

row = torch.arange(1000, dtype=torch.float32, device="cuda")
rowscale.scale(row, 4.0)
assert torch.equal(row.cpu(), torch.arange(1000) * 4.0)
print("1,000 elements are right on", torch.cuda.get_device_name())
E
"$tool/gpuenv" inspect .venv-gpu | grep -A3 -i rowscale || true

step "create again: builds nothing"
"$tool/gpuenv" create --profile built --build rowscale "${sources[@]}" --no-verify
step "lock from nothing: the wheel is there already"
rm lockfiles/pylock.built.toml
"$tool/gpuenv" lock --profile built --build rowscale "${sources[@]}"
step "done"
[ "$refused" != 0 ]
