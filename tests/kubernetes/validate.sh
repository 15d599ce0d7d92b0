#!/usr/bin/env bash
# Hold the manifests of every committed lock against Kubernetes' own schemas, oldest and newest. By hand: the validator
# brings 100 MB of schemas (pip install kubernetes-validate; its command is VALIDATE).
#   tests/kubernetes/validate.sh OUT VALIDATE
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
validate=$2
cd "$root"
for lock in lockfiles/pylock.*.toml; do
  name=${lock#lockfiles/pylock.}
  for kind in job daemonset; do
    "$root/.venv/bin/python" -m gpuenv fleet kubernetes "${name%.toml}" --kind "$kind" \
      --image "registry.example/${name%.toml}:1" >"$out/${name%.toml}.$kind.yaml"
  done
done
cd "$out"
: >validated.txt
for version in 1.25.0 1.31.0 1.37.0; do "$validate" --strict -k "$version" ./*.yaml 2>&1 | tee -a validated.txt; done
echo "a manifest that is wrong is refused:"
sed 's/backoffLimit: 0/backoffLimits: zero/' hopper.job.yaml >wrong.yaml
if "$validate" --strict -k 1.37.0 wrong.yaml 2>&1 | tee -a validated.txt; then exit 1; fi
rm wrong.yaml
