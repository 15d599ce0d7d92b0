#!/usr/bin/env bash
# The real torch 2.9.1 for Windows on the CPU, built and proved under Wine: windows_proof.sh FOLDER (about ten minutes on
# a quiet machine). FOLDER is what windows.sh made; the report lies in FOLDER/root/w/prefix/drive_c/users/root/proof/evidence.
set -euo pipefail
d=$(cd "$1" && pwd)
mkdir -p "$d/root/w/torch"
pip download -q --no-deps --only-binary :all: --platform win_amd64 --python-version 3.13 --implementation cp -d "$d/root/w/torch" torch==2.9.1
project=$d/root/w/prefix/drive_c/users/root/proof
rm -rf "$project"
mkdir -p "$project/profiles"
printf '%s\n' 'description = "torch 2.9.1 alone, on the CPU"' 'accelerator = "cpu"' 'packages = ["torch==2.9.1"]' >"$project/profiles/small.toml"
# oneDNN would use AMX where the processor has it: Linux lets a program do so only when it asks, and Wine does not.
exec "$d/run" -d /w/prefix/drive_c/users/root/proof -e GPUENV_NO_PROGRESS=1 -e ONEDNN_MAX_CPU_ISA=AVX512_CORE \
  gpuenv create --profile small --find-links 'Z:\w\torch'
