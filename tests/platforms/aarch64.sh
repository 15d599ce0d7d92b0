#!/usr/bin/env bash
# An aarch64 surrounding from package registries alone: Debian 12 for arm64 in a folder, run by qemu's user mode, with
# Python 3.11, a C compiler and git; gpuenv from this checkout with what its tests need, installed there by uv.
#
#   aarch64.sh FOLDER                        make it, or complete it
#   aarch64.sh FOLDER --tests [PYTEST WORDS] run tests in it: unit, property and scenarios where none are named
#   aarch64.sh FOLDER --remove               remove all of it
#
#   FOLDER/run [-d FOLDER_INSIDE] [-e NAME=VALUE] ... gpuenv|python|uv|PROGRAM WORDS
#
# Needs root, debootstrap, qemu-user-static, cc and a kernel with binfmt_misc. Inside, /gpuenv is this checkout and /work
# an empty folder. Mounts end with the process that needs them; the entry in binfmt_misc is removed by --remove.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,12p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
d=$(cd "$1" && pwd)
shift
register=/proc/sys/fs/binfmt_misc
entry=gpuenv-aarch64

case ${1:-} in
--remove)
  if grep -q " $d/" /proc/mounts; then echo "something is mounted below $d" >&2; exit 1; fi
  [ ! -e "$register/$entry" ] || echo -1 >"$register/$entry"
  rm -rf "$d"
  exit
  ;;
--tests)
  shift
  [ $# -gt 0 ] || set -- tests/unit tests/property tests/scenarios
  exec "$d/run" -d /gpuenv python -m pytest -n 0 "$@"
  ;;
esac

mountpoint -q "$register" || mount -t binfmt_misc none "$register"
mkdir -p "$d/root/usr/bin"
cp "$(command -v qemu-aarch64-static)" "$d/root/usr/bin/qemu-aarch64-static"
if [ ! -e "$register/$entry" ]; then
  # qemu's own choice of a processor has vectors of 2,048 bits, with which torch takes minutes for a step. It is told by
  # a variable, which gpuenv rightly does not hand to the processes that it proves an environment with.
  cat >"$d/qemu.c" <<'C'
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words) {
    (void)count;
    setenv("QEMU_CPU", CPU, 0);
    execv("/usr/bin/qemu-aarch64-static", words);
    return 127;
}
C
  cc -static -O1 -Wall -Wextra -Werror "-DCPU=\"${QEMU_CPU:-neoverse-n1}\"" -o "$d/qemu" "$d/qemu.c"
  magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  printf '%s' ":$entry:M::$magic:$mask:$d/qemu:F" >"$register/register"
fi
if [ ! -f "$d/debian" ]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | head -n 1)
  debootstrap --arch=arm64 --variant=minbase --include=python3,python3-venv,ca-certificates,gcc,libc6-dev,git,make \
    bookworm "$d/root" "$mirror" >"$d/debootstrap.log" 2>&1
  touch "$d/debian"
fi
mkdir -p "$d/root/gpuenv" "$d/root/work" "$d/root/root"
cp /etc/resolv.conf /etc/hosts "$d/root/etc/"
cp "$(pip config get global.cert 2>/dev/null || echo /etc/ssl/certs/ca-certificates.crt)" "$d/root/etc/ssl/certs/ca-certificates.crt"
printf '%s\n' "$here" >"$d/checkout"

cat >"$d/run" <<'R'
#!/usr/bin/env bash
# run [-d FOLDER_INSIDE] [-e NAME=VALUE] ... gpuenv|python|uv|PROGRAM WORDS
d=$(cd "$(dirname "$0")" && pwd)
folder=/work
more=()
while getopts 'd:e:' option; do
  case $option in d) folder=$OPTARG ;; e) more+=("$OPTARG") ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
# The package index and the way to it are those of this machine's pip; they stand in no file of the folder.
for name in http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
  [ -z "${!name:-}" ] || more+=("$name=${!name}")
done
index=$(pip config get global.index-url 2>/dev/null) || index=${PIP_INDEX_URL:-}
[ -z "$index" ] || more+=("UV_DEFAULT_INDEX=$index" "PIP_INDEX_URL=$index")
export d
exec unshare --mount --propagation private bash -c '
  mount -t proc proc "$d/root/proc"
  mount --rbind /dev "$d/root/dev"
  mount -t sysfs -o ro sysfs "$d/root/sys"
  mount --bind "$(cat "$d/checkout")" "$d/root/gpuenv"
  exec nice -n "${NICE:-10}" chroot "$d/root" /usr/bin/env -i PATH=/venv/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root LANG=C.UTF-8 \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt UV_PYTHON_DOWNLOADS=never "$@"
' run "${more[@]}" /bin/sh -c 'cd "$0" && exec "$@"' "$folder" "$@"
R
chmod +x "$d/run"

# uv comes by pip, everything else by uv.
if [ ! -x "$d/root/venv/bin/uv" ]; then
  "$d/run" python3 -m venv /venv
  "$d/run" python -m pip install -q --disable-pip-version-check --only-binary :all: uv
fi
"$d/run" uv pip install -q --no-config --python /venv/bin/python -e '/gpuenv[dev]'
"$d/run" python -c 'import platform; print(platform.machine(), platform.python_version(), *platform.libc_ver())'
"$d/run" uv --version
"$d/run" gpuenv --version
