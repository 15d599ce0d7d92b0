#!/usr/bin/env bash
# On a GPU host with torch, nvcc and no network: every companion that is there or was carried is probed, and then made
# wrong.
#   tests/gpu/probes_prepare.sh          before, where pip works
#   tests/gpu/probes.sh --take FOLDER ...   what was carried lies there: .carry/probes, .carry/parts/1 ...
#   tests/gpu/probes.sh OUT [CASE ...]
# Compiles those that have a source only, for this card alone (BUILD names some of them; all take the processor ten
# minutes); then tests/gpu/probes.py. A second run finds them built.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
carried=${CARRIED:-$root/.carry/probes}
built=${BUILT:-/tmp/gpuenv-probes}
if [ "$1" = --take ]; then
  shift
  mkdir -p "$carried"
  for folder in "$@"; do
    for file in "$folder"/*; do
      case $file in
      *.[0-9][0-9])
        joined=$carried/$(basename "${file%.*}")
        [ "${file##*.}" != 00 ] || rm -f "$joined"
        cat "$file" >>"$joined"
        ;;
      *) cp "$file" "$carried/" ;;
      esac
    done
  done
  exit
fi
out=$1
shift
mkdir -p "$out" "$built/log"
python=$(command -v python3)
capability=$("$python" -c 'import torch; print("%d.%d" % torch.cuda.get_device_capability())')
# Written by their makers for many cards: for this one alone they compile in a tenth of the time.
alone='import re, sys, pathlib; path = pathlib.Path(sys.argv[1]); code = sys.argv[2].replace(".", "")
pair = r"cc_flag\.append\(.-gencode.\)\s*cc_flag\.append\(.arch=compute_(?!" + code + r",)\d+,code=sm_\d+.\)"
path.write_text(re.sub(pair, "pass", path.read_text()))'
# All of FlashAttention takes an hour: here it is compiled for heads of 64 in float16, its sources are otherwise as they are.
less='import re, sys, pathlib; root = pathlib.Path(sys.argv[1])
setup = root / "setup.py"
setup.write_text(re.sub(r"\n *.csrc/flash_attn/src/flash_(?!\w*hdim64_fp16)\w+\.cu.,", "", setup.read_text()))
switch = root / "csrc/flash_attn/src/static_switch.h"
text = re.sub(r"HEADDIM <= (?!64)\d+", "false", switch.read_text())
text = re.sub(r"kHeadDim = \d+", "kHeadDim = 64", text).replace("cutlass::bfloat16_t", "cutlass::half_t")
switch.write_text(text)'

export CAUSAL_CONV1D_FORCE_BUILD=TRUE MAMBA_FORCE_BUILD=TRUE FLASH_ATTENTION_FORCE_BUILD=TRUE FORCE_CUDA=1 DS_BUILD_OPS=0
export FORCE_ONLY_CUDA=1 FLASH_ATTN_CUDA_ARCHS=${capability/./} TORCH_CUDA_ARCH_LIST=$capability MAX_JOBS=6

each() { # PyG's packages compile file after file: here every extension of one is a process, and the wheel is of what they made
  local main lib
  lib=build/lib.$("$python" -c 'import sysconfig, sys; print(sysconfig.get_platform() + "-" + sys.implementation.cache_tag)')
  sed -i 's/use_ninja=False/use_ninja=True/; s/^    main_files = glob.*/    main_files = [os.environ["ONLY"]] if "ONLY" in os.environ else []/' setup.py
  for main in csrc/*.cpp; do
    while [ "$(jobs -pr | wc -l)" -ge 2 ]; do sleep 1; done
    ONLY=$main MAX_JOBS=2 "$python" setup.py -q build_ext --build-temp "build/of-$(basename "$main")" --build-lib "$lib" &
  done
  wait
  "$python" setup.py -q build_py --build-lib "$lib"
  ONLY=$main "$python" setup.py -q bdist_wheel --skip-build --dist-dir "$1"
}

build() { # NAME SOURCE: a wheel in $built/NAME
  [ -d "$built/$1" ] && return
  local work
  work=$(mktemp -d)
  tar xzf "$carried/$2" -C "$work" --strip-components 1
  "$python" -c "$alone" "$work/setup.py" "$capability"
  [ "$1" != flash_attn ] || "$python" -c "$less" "$work"
  case $1 in
  torch_*) (cd "$work" && each "$built/$1.part") ;;
  *) timeout 900 "$python" -m pip wheel -q --no-build-isolation --no-deps -w "$built/$1.part" "$work" ;;
  esac >"$built/log/$1" 2>&1 && mv "$built/$1.part" "$built/$1"
  echo "built $1: $([ -d "$built/$1" ] && echo yes || echo no), at ${SECONDS}s"
}

for name in ${BUILD-deepspeed causal_conv1d mamba_ssm torch_scatter torch_sparse torch_cluster flash_attn}; do
  build "$name" "$(cd "$carried" && echo "$name"-*.tar.gz)" &
done
wait
"$python" "$root/tests/gpu/probes.py" "$out" "$carried" "$built" "$@"
