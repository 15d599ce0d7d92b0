#!/usr/bin/env bash
# Here, where pip works: companions of torch for tests/gpu/probes.sh into .carry/probes/, under 64 MB in all.
#   PYTHON=... tests/gpu/probes_prepare.sh     a Python that has torch: sources say what they are with its help
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-.venv/bin/python}
out=.carry/probes
rm -rf "$out" && mkdir -p "$out"
platforms=()
for name in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014; do
  platforms+=(--platform "${name}_x86_64")
done
for each in torchao==0.18.0 torchao==0.16.0 torchcodec==0.16.0 xformers==0.0.35 bitsandbytes==0.50.2 torchvision==0.29.1 \
  nvidia-cuda-runtime-cu12==12.8.90 hjson pydantic pydantic-core==2.50.5 annotated-types typing-inspection; do
  "$python" -m pip download -q --no-deps --only-binary :all: --python-version 3.12 --implementation cp "${platforms[@]}" \
    -d "$out" "$each"
done
# What has no wheel on PyPI, or none for this torch, is compiled on the GPU host.
export CAUSAL_CONV1D_SKIP_CUDA_BUILD=TRUE MAMBA_SKIP_CUDA_BUILD=TRUE FORCE_ONLY_CPU=1 DS_BUILD_OPS=0
for each in causal-conv1d==1.7.0 mamba-ssm==2.3.2.post1 torch-scatter==2.1.2 torch-sparse==0.6.18 torch-cluster==1.6.3 \
  deepspeed==0.19.8; do
  "$python" -m pip download -q --no-deps --no-build-isolation --no-binary :all: -d "$out" "$each"
done
# Of bitsandbytes' libraries one is enough, and the others would fill what may be carried.
(cd "$out" && zip -q -d bitsandbytes-*.whl '*cuda1[0-2]*.so' '*cuda132.so' '*rocm*' '*xpu*')
du -sh "$out"
