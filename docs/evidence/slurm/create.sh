#!/bin/bash
#SBATCH --job-name=gpuenv-create
#SBATCH --partition=p
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --time=30
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=/shared/project/fleet/slurm/log/%x.%A_%a
#SBATCH --array=0-0
#SBATCH --gres=gpu:h100:1
set -u
umask 077
node=${SLURMD_NODENAME:?this is a job script of Slurm}
place=/shared/project/fleet/slurm/nodes/"$node"
try="$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}"
mkdir -p "$place" /shared/project/fleet/slurm/ended && cd "$place" || exit 1
code=0
answer() { # NAME COMMAND...: keep what it prints, written in one step
  [ "$code" = 0 ] || return 0
  local to="$1.json"; shift
  "$@" >"$to.$try"; code=$?
  mv -f "$to.$try" "$to"
}
mkdir -p lockfiles && cp /shared/project/lockfiles/pylock.small-linux-x86-64-glibc-2-36-no-driver-cpu.toml "lockfiles/pylock.small.toml.$try" && mv -f "lockfiles/pylock.small.toml.$try" "lockfiles/pylock.small.toml" || exit 1
mkdir -p profiles && cp /shared/project/profiles/small.toml profiles/small.toml || exit 1
mkdir -p "$(dirname "$SCRATCH/$SLURMD_NODENAME/env")"
answer detect /gpuenv/.venv/bin/python -m gpuenv detect --json
answer create /gpuenv/.venv/bin/python -m gpuenv create "$SCRATCH/$SLURMD_NODENAME/env" --profile small --evidence evidence --json --no-progress --no-project --offline --store /shared/state/gpuenv/store --python 3.11
task=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}.${SLURM_ARRAY_TASK_ID:-0}
printf '{"node": "%s", "task": "%s", "restart": %s, "exit_code": %s}\n' "$node" "$task" \
  "${SLURM_RESTART_COUNT:-0}" "$code" >"ended.$try"
mv -f "ended.$try" /shared/project/fleet/slurm/ended/create."$task".json
exit "$code"
