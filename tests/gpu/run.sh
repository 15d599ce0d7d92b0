#!/usr/bin/env bash
# On a GPU host with torch installed and no network: the whole of gpuenv once, for real.
#   tests/gpu/prepare.sh                 before, where pip works: gpuenv's own wheels into .carry/
#   tests/gpu/run.sh OUT [PROFILE] [WRONG_PROFILE]
# Repacks the host's torch into an index, serves it on loopback, creates an environment from it with verification,
# expects the wrong profile to end with exit code 3, verifies again with warm files, and checks the evidence.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
profile=${2:-hopper}
wrong=${3:-blackwell}
source "$root/tests/gpu/start.sh" "$1"

step "detect"
"$tool/gpuenv" detect
"$tool/gpuenv" detect --json >"$out/detect.json"

step "resolve --profile $profile"
"$tool/gpuenv" resolve --profile "$profile" "${sources[@]}" || true

step "create --profile $profile"
code=0
"$tool/gpuenv" create --profile "$profile" "${sources[@]}" -v --json >"$out/create.json" || code=$?
echo "exit code $code"

step "create --profile $wrong: has to end with exit code 3"
refused=0
"$tool/gpuenv" create --profile "$wrong" "${sources[@]}" "$work/other" || refused=$?
echo "exit code $refused"

step "verify again, with warm files"
warm=0
"$tool/gpuenv" verify --profile "$profile" .venv-gpu --evidence "evidence/warm" \
  --baseline "evidence/$profile/evidence.json" --no-progress || warm=$?
echo "exit code $warm"

step "check the evidence"
cp lockfiles/pylock.*.toml "$out/" 2>/dev/null || true
tar czf "$out/evidence.tgz" evidence
judged=0
"$tool/python" "$root/tests/gpu/check_evidence.py" "evidence/$profile/evidence.json" || judged=1
"$tool/python" "$root/tests/gpu/check_evidence.py" "evidence/warm/evidence.json" --within 20 || judged=1

step "done"
echo "create $code, wrong profile $refused (3 is right), verify $warm, evidence $judged"
[ "$code" = 0 ] && [ "$refused" = 3 ] && [ "$warm" = 0 ] && [ "$judged" = 0 ]
