#!/usr/bin/env bash
# On a host with two GPUs and torch installed: two "nodes" of a GPU each, over NCCL; right, one rank wrong, one not there.
#   tests/gpu/two_nodes.sh OUT
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# A program that uses NVLink multicast can put a shared host's GPUs out of service: it stays off, also in children.
export NCCL_NVLS_ENABLE=0 TORCH_SYMM_MEM_DISABLE_MULTICAST=1 NVSHMEM_DISABLE_NVLS=1
export PYTHONUNBUFFERED=1 PYTHONPATH=$root/resolver:$root/tests
exec > >(tee "$out/run.log") 2>&1
here() { python3 "$root/tests/gpu/nodes_here.py" "$@"; }

both() { # NAME EXPECTED [ENV]: both nodes; each has to end with the code
  here "$work/$1" one 0 "${@:3}" & local first=$!
  local code=0 other=0
  here "$work/$1" two 1 "${@:3}" || code=$?
  wait "$first" || other=$?
  printf '%s: exit %s and %s, expected %s\n\n' "$1" "$other" "$code" "$2"
  [ "$code$other" = "$2$2" ]
}

result=0
both right 0 || result=1
both warm 0 || result=1
# As between two machines: neither the cards' own link nor shared memory.
NCCL_P2P_DISABLE=1 NCCL_SHM_DISABLE=1 both sockets 0 || result=1
python3 - "$work/env" <<'P'
import sys
from pathlib import Path
from support.torch_env import altered_environment
altered_environment(Path(sys.argv[1]), Path(sys.prefix), torch_code="""
from torch import distributed as _distributed
_true_reduce = _distributed.all_reduce
def _one_adds_something_else(tensor, *given, **named):
    if _distributed.get_rank() == 1:
        tensor += 1
    return _true_reduce(tensor, *given, **named)
_distributed.all_reduce = _one_adds_something_else
""")
P
both wrong 1 "$work/env" || result=1
code=0
GPUENV_TEST_WAIT=5 here "$work/missing" one 0 || code=$?
[ "$code" = 1 ] || result=1
tar czf "$out/evidence.tgz" -C "$work" warm sockets wrong missing
exit "$result"
