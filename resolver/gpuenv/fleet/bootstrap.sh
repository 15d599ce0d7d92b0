#!/bin/sh
# gpuenv and uv on a host with any Python or none, without network: `sh FILE HOME [PYTHON]`. Made by `gpuenv fleet bundle`.
# Everything lands in HOME; what stands in HOME/tool is replaced in one step. Behind the line PAYLOAD lies an archive.
set -eu
[ $# -ge 1 ] || { echo "usage: sh $0 HOME [PYTHON]" >&2; exit 2; }
case $1 in "~/"*) home=$HOME/${1#"~/"} ;; /*) home=$1 ;; *) home=$PWD/$1 ;; esac
named=${2:-}
digest=@DIGEST@
tool=$home/tool-$(echo "$digest" | cut -c1-12)
umask 022
mkdir -p "$home"
exec 9>"$home/bootstrap.lock" # another run for this folder, or one whose desk was killed, comes to its end first
if command -v flock >/dev/null 2>&1; then
  flock -w 600 9 || { echo "gpuenv: another installation has held $home for ten minutes" >&2; exit 3; }
fi
# By this the desk sees that two hosts have one folder, on a disk that they share.
[ -s "$home/id" ] || cat /proc/sys/kernel/random/uuid >"$home/id" 2>/dev/null || rm -f "$home/id"
if [ "$(cat "$home/tool/bundle.sha256" 2>/dev/null)" = "$digest" ]; then
  echo "gpuenv is in $home/tool already"
  exit 0
fi
rm -rf "$tool"
trap 'rm -rf "$tool.new"; [ -e "$tool/bundle.sha256" ] || rm -rf "$tool"' EXIT
rm -rf "$tool.new"
mkdir "$tool.new"
start=$(awk '/^PAYLOAD$/ { print NR + 1; exit }' "$0")
tail -n +"$start" "$0" | tar -xzf - -C "$tool.new"

runs() { "$@" >/dev/null 2>&1; }
recent() { runs "$1" -c 'import sys, ctypes, ssl; sys.exit(sys.version_info < (3, 11))'; }

uv=
for each in "$tool.new"/uv-*; do
  if runs "$each" --version; then uv=$each; break; fi
done
[ -n "$uv" ] || {
  for each in /lib/ld-musl-*; do
    [ -e "$each" ] && { echo "gpuenv: the C library of this host is musl ($each): PyTorch has no wheels for it" >&2; exit 3; }
  done
  echo "gpuenv: no uv of the bundle runs on this host ($(uname -s) $(uname -m)): carry one that does, as a wheel of uv" >&2
  exit 3
}
for each in "$tool.new"/python-*; do # a Python that is carried is for every host that it runs on: they have it in common
  [ -e "$each" ] || continue
  rm -rf "$home/python.new"
  mkdir "$home/python.new"
  tar -xzf "$each" -C "$home/python.new"
  if recent "$home/python.new/python/bin/python3"; then
    rm -rf "$home/python"
    mv "$home/python.new/python" "$home/python"
    break
  fi
done
rm -rf "$home/python.new"
python=
for each in $named "$home/python/bin/python3" python3 python3.14 python3.13 python3.12 python3.11; do
  if recent "$each"; then python=$(command -v "$each"); break; fi
done
[ -n "$python" ] || {
  echo "gpuenv: this host has no Python 3.11 or newer, and the bundle carries none that runs on it ($(uname -m)):" \
    "carry one, or name one by gpuenv_python" >&2
  exit 3
}
UV_CACHE_DIR=$tool.new/cache
export UV_CACHE_DIR
"$uv" venv --quiet --no-config --offline --no-project --python "$python" "$tool"
VIRTUAL_ENV=$tool "$uv" pip install --quiet --no-config --offline --no-index --no-deps "$tool.new"/wheels/*.whl
mv "$uv" "$tool/bin/uv"
echo "$digest" >"$tool/bundle.sha256"
mkdir -p "$home/facts.d"
printf '#!/bin/sh\n# A local fact of Ansible: `setup` with fact_path gives it as ansible_local.gpuenv.\nexec "%s/tool/bin/gpuenv" detect --json\n' \
  "$home" >"$home/facts.d/gpuenv.fact"
chmod 755 "$home/facts.d/gpuenv.fact"
ln -sfn "$(basename "$tool")" "$home/tool.new"
if [ -d "$home/tool" ] && [ ! -L "$home/tool" ]; then rm -rf "$home/tool"; fi
mv -f -T "$home/tool.new" "$home/tool" 2>/dev/null || { rm -f "$home/tool"; mv "$home/tool.new" "$home/tool"; }
for each in "$home"/tool-*; do
  [ "$each" = "$tool" ] || rm -rf "$each"
done
echo "gpuenv is in $home/tool, with $("$python" --version)"
exit 0
PAYLOAD
