#!/usr/bin/env bash
# Here, where pip works: companions of torch for tests/gpu/probes.sh into .carry/probes/, under 64 MB in all, and the
# largest in pieces of 45 MB into .carry/parts/1, 2 ...
set -euo pipefail
cd "$(dirname "$0")/../.."
python=.venv/bin/python
out=.carry/probes
rm -rf "$out" && mkdir -p "$out"
platforms=()
for name in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014; do
  platforms+=(--platform "${name}_x86_64")
done
for each in torchao==0.18.0 torchao==0.16.0 torchcodec==0.16.0 xformers==0.0.35 bitsandbytes==0.50.2 torchvision==0.29.1 \
  nvidia-cuda-runtime-cu12==12.8.90 hjson pydantic pydantic-core==2.50.5 annotated-types typing-inspection; do
  pip download -q --no-deps --only-binary :all: --python-version 3.12 --implementation cp "${platforms[@]}" \
    -d "$out" "$each"
done
# What has no wheel on PyPI, or none for this torch, is compiled on the GPU host; the largest are carried in pieces.
rm -rf .carry/parts
"$python" tests/gpu/probes_fetch.py "$out" .carry/parts
# Of bitsandbytes' libraries one is enough, and the others would fill what may be carried.
(cd "$out" && zip -q -d bitsandbytes-*.whl '*cuda1[0-2]*.so' '*cuda132.so' '*rocm*' '*xpu*')
du -sh "$out"
