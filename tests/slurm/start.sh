#!/usr/bin/env bash
# A real Slurm on one machine: five nodes of two classes (several slurmd), a made-up GPU on four. Needs Debian's slurm-wlm
# and munge, and root. All nodes share this host's disk.
#   start.sh FOLDER      then: export SLURM_CONF=FOLDER/slurm.conf
set -euo pipefail
mkdir -p "$1"
d=$(cd "$1" && pwd)
h=$(hostname -s)
mkdir -p "$d/state" "$d/log" /run/munge
chown munge:munge /run/munge
cat >"$d/slurm.conf" <<C
ClusterName=loop
SlurmctldHost=$h
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$d/state
SlurmdSpoolDir=$d/spool.%n
SlurmctldPidFile=$d/ctld.pid
SlurmdPidFile=$d/slurmd.%n.pid
SlurmctldLogFile=$d/log/ctld
SlurmdLogFile=$d/log/slurmd.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
GresTypes=gpu
ReturnToService=0
NodeName=gpu[1-4] NodeHostname=$h Port=[17001-17004] CPUs=1 RealMemory=1000 Feature=hopper,ib Gres=gpu:h100:1 State=UNKNOWN
NodeName=cpu1 NodeHostname=$h Port=17005 CPUs=1 RealMemory=1000 Feature=login State=UNKNOWN
PartitionName=p Nodes=gpu[1-4],cpu1 Default=YES State=UP
C
printf 'NodeName=gpu[1-4] Name=gpu Type=h100 Count=1 File=/dev/null\n' >"$d/gres.conf"
export SLURM_CONF=$d/slurm.conf
if [ ! -S /run/munge/munge.socket.2 ]; then
  su -s /bin/sh munge -c '/usr/sbin/munged --force --pid-file=/run/munge/gpuenv-test.pid'
  touch "$d/munge.ours"
fi
slurmctld -f "$SLURM_CONF"
sleep 2
for node in gpu1 gpu2 gpu3 gpu4 cpu1; do slurmd -N "$node" -f "$SLURM_CONF"; done
for _ in $(seq 60); do [ "$(sinfo --noheader --Node --states=idle | wc -l)" = 5 ] && break; sleep 0.5; done
sinfo --Node --format='%N %t %f %G'
