#!/usr/bin/env bash
# On a host with several GPUs, after tests/gpu/prepare.sh: seconds of a whole verification against the number of GPUs.
#   tests/gpu/growth.sh OUT [PROFILE]
# One environment of the host's torch; each number twice, the first with cold files. Prints, asserts nothing.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
source "$root/tests/gpu/start.sh" "$1"
export NCCL_NVLS_ENABLE=0 TORCH_SYMM_MEM_DISABLE_MULTICAST=1 NVSHMEM_DISABLE_NVLS=1
"$tool/gpuenv" create --profile "${2:-hopper}" "${sources[@]}" --no-verify
count=$(nvidia-smi -L | grep -c '^GPU')
for ((number = 1; number <= count; number++)); do
  gpus=()
  for ((gpu = 0; gpu < number; gpu++)); do gpus+=(--gpu "$gpu"); done
  for again in 1 2; do
    said=$("$tool/gpuenv" verify .venv-gpu "${gpus[@]}" --evidence "evidence/$number" --no-progress 2>&1) || true
    echo "$number GPUs, $again: $(grep -E '^verification' <<<"$said" || tail -n 3 <<<"$said")"
  done
done
