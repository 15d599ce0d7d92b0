#!/usr/bin/env bash
# On a GPU host that has transformers and accelerate installed: a project of one's own, from its pyproject.toml to a
# training that is at least as fast as the reference run.
#   tests/gpu/prepare.sh        before, where pip works
#   tests/gpu/project.sh OUT
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
source "$root/tests/gpu/start.sh" "$1" --also numpy pillow transformers accelerate

cp -r "$root/tests/gpu/gpt2_project/." .
step "resolve"
"$tool/gpuenv" resolve "${sources[@]}"
step "create"
"$tool/gpuenv" create "${sources[@]}"
step "create again: up to date"
"$tool/gpuenv" create "${sources[@]}"
step "train, right after the installation: step 1 imports and compiles what Python has not yet"
"$tool/gpuenv" run -- python train.py "$out/gpt2-project/first"
step "train again, with warm files"
"$tool/gpuenv" run -- python train.py "$out/gpt2-project"
step "check"
cp lockfiles/pylock.*.toml "$out/gpt2-project/"
cp evidence/*/README.md "$out/gpt2-project/proof.md"
"$tool/python" - "$out/gpt2-project/training.json" <<'CHECK'
import json, sys
found = json.load(open(sys.argv[1]))
reference = found["reference"]
assert found["parameters_on"] == ["cuda:0"], found["parameters_on"]
assert found["samples_per_second"] >= reference["samples_per_second"], found["samples_per_second"]
assert found["losses"][-1] < reference["final_loss"], found["losses"]
CHECK
step "done"
