#!/usr/bin/env bash
# A fleet by Slurm, on a real one (start.sh): facts, one lock, an environment on every node, a node that fails, an array's
# task killed and requeued, the rest of it resumed, two nodes proved together. Minutes; needs root, Debian's slurm-wlm and
# munge, and a folder that holds wheels of a CPU build of torch with all it needs.
#   tests/slurm/run.sh OUT WHEELS [PYTHON]
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
wheels=$2
python=${3:-3.11}
work=$(mktemp -d)
trap '"$root/tests/slurm/stop.sh" "$work/slurm"; rm -rf "$work"' EXIT
plain() { sed -u -e "s#$work#/shared#g" -e "s#$root#/gpuenv#g" -e "s#$wheels#/wheels#g" -e "s#\b$(hostname -s)\b#host#g"; }
exec > >(plain | tee "$out/run.txt") 2>&1
failed=0
step() { printf '\n== %s (%s s)\n' "$1" "$SECONDS"; }
# Type a command and hold its exit code against what is expected.
typed() { # CODE WORDS...
  local expected=$1 code=0
  shift
  printf '$ gpuenv %s\n' "$*"
  gpuenv "$@" || code=$?
  [ "$code" = "$expected" ] && echo "exit $code" || { echo "exit $code, EXPECTED $expected"; failed=1; }
}
gpuenv() { "$root/.venv/bin/python" -m gpuenv "$@" --no-progress; }
holds() { # WORDS... : a test that must be true
  if "$@"; then echo "holds: $*"; else echo "DOES NOT HOLD: $*"; failed=1; fi
}

export PIP_CONFIG_FILE=/dev/null XDG_CACHE_HOME=$work/cache XDG_STATE_HOME=$work/state UV_PYTHON_DOWNLOADS=never NO_COLOR=1
export SLURM_CONF=$work/slurm/slurm.conf
mkdir -p "$work/project/profiles" "$work/scratch"
cd "$work/project" || exit 1
cat >profiles/small.toml <<'P'
description = "A CPU build of torch with a short proof"
accelerator = "cpu"
packages = ["torch"]

[verification]
model = "gpt2-tiny"
precision = "fp32"
steps = 6
samples = 40
budget-seconds = 30
loss-below = 5.0
P
export GPUENV_PROFILE=small
place='$SCRATCH/$SLURMD_NODENAME/env'
export SCRATCH=$work/scratch

step "a cluster: two classes of nodes, one of them down"
"$root/tests/slurm/start.sh" "$work/slurm"
sinfo --version
scontrol update NodeName=gpu4 State=DOWN Reason="power supply"

step "facts: one small job per class"
typed 1 fleet slurm detect --partition p
cat fleet/slurm/detect-1.sh
sleep 2

step "one lock per class, made here"
typed 1 fleet lock --python "$python" --find-links "$wheels"

step "an environment on each node's scratch: gpu3's cannot be used, gpu2's task is requeued on its way"
touch "$work/scratch/gpu3"
typed 1 fleet slurm create --partition p --environment "$place" &
for _ in $(seq 600); do
  task=$(squeue --noheader --states=R --name=gpuenv-create --format='%F_%K %N' | sed -n 's/ gpu2$//p')
  [ -n "$task" ] && break
  sleep 0.2
done
for _ in $(seq 600); do ls -d "$work"/scratch/gpu2/.gpuenv-stage-* >/dev/null 2>&1 && break; sleep 0.1; done
ls -A "$work/scratch/gpu2"
echo "# scontrol requeue $task"
scontrol requeue "$task"
for _ in $(seq 100); do scontrol update JobId="$task" StartTime=now 2>/dev/null && break; sleep 0.5; done
wait $!
cat fleet/slurm/ended/create.*.json
holds test -f "$work/scratch/gpu1/env/gpuenv.json"
holds test -f "$work/scratch/gpu2/env/gpuenv.json"
holds grep -q '"restart": 1, "exit_code": 0' fleet/slurm/ended/create.*.1.json
holds test "$(ls -A "$work/scratch/gpu2")" = env

step "the same again, gpu3's scratch in order: only that node is done"
rm "$work/scratch/gpu3"
typed 1 fleet slurm create --partition p --environment "$place"
holds test "$(grep -l '"node": "gpu3"' fleet/slurm/ended/create.* | wc -l)" = 2
holds test "$(cat fleet/slurm/ended/create.* | wc -l)" = 5

step "the command is stopped, its jobs run on, and it finds them again"
rm -rf "$work/scratch/cpu1"
rm fleet/hosts/cpu1/built.json
gpuenv fleet slurm create --partition p --environment "$place" &
for _ in $(seq 600); do squeue --noheader --states=R --name=gpuenv-create | grep -q . && break; sleep 0.2; done
kill -INT "$(pgrep -P $! -f 'gpuenv fleet slurm' || echo $!)"
wait $!
echo "exit $?"
typed 1 fleet slurm create --partition p --environment "$place"
holds test "$(cat fleet/slurm/ended/create.* | wc -l)" = 6

step "every node proves its environment again; nothing is drained by gpuenv"
typed 1 fleet slurm verify --partition p --environment "$place" --limit gpu1,gpu2,gpu4
sinfo --Node --format='%N %t %E'
holds test "$(sinfo --noheader --Node --states=drain | wc -l)" = 0

step "once on a disk that all share, proved on each"
rm -rf fleet/hosts/gpu[12]/built.json
typed 1 fleet slurm create --partition p --once --limit gpu1,gpu2
ls -d "$work"/project/.venv-gpu-*

step "canary and max-fail: where the first node fails, no other is begun"
rm -f fleet/hosts/gpu[12]/built.json "$work"/scratch/gpu[12]/gpuenv.json
mv "$work/scratch/gpu1" "$work/scratch/gpu1.aside"
touch "$work/scratch/gpu1"
before=$(cat fleet/slurm/ended/create.* | wc -l)
typed 1 fleet slurm create --partition p --environment "$place" --canary 1 --limit gpu1,gpu2
typed 1 fleet slurm create --partition p --environment "$place" --batch 1 --max-fail 0 --limit gpu1,gpu2
holds test "$(cat fleet/slurm/ended/create.* | wc -l)" = $((before + 2))
rm "$work/scratch/gpu1"
mv "$work/scratch/gpu1.aside" "$work/scratch/gpu1"
typed 1 fleet slurm create --partition p --environment "$place" --canary 1 --limit gpu1,gpu2
holds test "$(cat fleet/slurm/ended/create.* | wc -l)" = $((before + 4))

step "two nodes together: srun -N2 gpuenv verify --nodes 2"
srun --partition=p --nodes=2 --nodelist=gpu1,gpu2 --gres=gpu:h100:1 "$root/.venv/bin/python" -m gpuenv verify \
  "$work/scratch/gpu1/env" --nodes 2 --wait 120 --no-progress >"$work/nodes.txt" 2>&1
code=$?
grep -v '^ *$' "$work/nodes.txt" | sort -u
holds test "$code" = 0
echo "# a node that does not come is named"
srun --partition=p --nodes=1 --nodelist=gpu1 "$root/.venv/bin/python" -m gpuenv verify "$work/scratch/gpu1/env" \
  --nodes 'gpu[1-2]' --wait 5 --no-progress >"$work/nodes.txt" 2>&1
holds test $? = 1
grep -v '^ *$' "$work/nodes.txt"

step "lines for the administrator"
typed 0 fleet slurm lines

step "the report"
typed 1 fleet report
cp fleet/report.json "$work/report.json"
plain <fleet/report.json >"$out/report.json"
plain <fleet/slurm/create-0.sh >"$out/create.sh"
step "$([ "$failed" = 0 ] && echo done || echo FAILED)"
exit "$failed"
