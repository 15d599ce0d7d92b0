#!/usr/bin/env bash
# On a host with several GPUs and torch installed: each card by itself, and all of them together.
#   tests/gpu/two_gpus.sh OUT
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A program that uses NVLink multicast can put a shared host's GPUs out of service: it stays off, also in children.
export NCCL_NVLS_ENABLE=0 TORCH_SYMM_MEM_DISABLE_MULTICAST=1 NVSHMEM_DISABLE_NVLS=1
export PYTHONUNBUFFERED=1 PYTHONPATH=$root/resolver:$root/tests
count=$(nvidia-smi -L | grep -c '^GPU')
nvidia-smi -L
code=0
python3 "$root/tests/gpu/verify_here.py" "$work/evidence" 2 2>&1 | tee "$out/run.log" || code=1
python3 "$root/tests/gpu/check_evidence.py" "$work/evidence/evidence.json" --gpus "$count" --within 60 |
  tee -a "$out/run.log" || code=1
# The order that CUDA counts in need not be NVML's: turned round on purpose, matched by UUID.
last=$((count - 1))
CUDA_VISIBLE_DEVICES=$(seq -s, "$last" -1 0) python3 "$root/tests/gpu/verify_here.py" "$work/reversed" 1 2>&1 |
  grep -E 'verdict|devices|several' | tee "$out/reversed.log" || code=1
tar czf "$out/evidence.tgz" -C "$work" evidence
exit "$code"
