#!/usr/bin/env bash
# Ends what start.sh started, jobs first, then the daemons by their own pid files, and waits until all of it is gone.
if [ -f "$1/ctld.pid" ]; then
  export SLURM_CONF=$1/slurm.conf
  scancel --full --partition=p
  for _ in $(seq 60); do [ -z "$(squeue --noheader)" ] && break; sleep 0.5; done
fi
pids=$(cat "$1"/slurmd.*.pid "$1"/ctld.pid 2>/dev/null)
[ -f "$1/munge.ours" ] && pids="$pids $(cat /run/munge/gpuenv-test.pid)" && rm -f "$1/munge.ours"
for pid in $pids; do kill "$pid" 2>/dev/null; done
for _ in $(seq 60); do
  left=""
  for pid in $pids; do [ -d "/proc/$pid" ] && left=1; done
  [ -z "$left" ] && exit 0
  sleep 0.5
done
echo "something of Slurm is still there: $pids" >&2
exit 1
