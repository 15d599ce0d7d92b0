#!/bin/sh
# An archive of Python for `gpuenv fleet --carry`, made from one that is installed here: it runs wherever it is unpacked, on
# hosts whose glibc is not older, with the libraries that the host may lack (OpenSSL, libffi, zlib and others) inside.
# As python-build-standalone's `install_only` archives, which a person with a network takes instead: a folder `python`.
#   tests/fleet/carried_python.sh PYTHON OUT.tar.gz            needs patchelf
set -eu
out=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
prefix=$("$1" -c 'import sys; print(sys.base_prefix)')
name=$("$1" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
to=$work/python
mkdir -p "$to/bin" "$to/lib"
cp -L "$prefix/bin/$name" "$to/bin/"
ln -s "$name" "$to/bin/python3"
ln -s "$name" "$to/bin/python"
find "$prefix/lib" -maxdepth 1 -name 'libpython3*.so*' -exec cp -P {} "$to/lib/" \;
(cd "$prefix/lib" && tar -cf - --exclude=__pycache__ --exclude=site-packages --exclude=test --exclude=idlelib \
  --exclude=tkinter --exclude=turtledemo --exclude='config-3*' "$name") | tar -xf - -C "$to/lib"
mkdir "$to/lib/$name/site-packages"
modules=$to/lib/$name/lib-dynload
rm -f "$modules"/_tkinter*.so "$modules"/nis*.so "$modules"/_curses*.so "$modules"/readline*.so # a build needs none of them

# Every library that is not the C library's own, and what those need themselves.
needed() { ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' |
  grep -v -E '/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|util|resolv|nsl)\.so\.[0-9]+|libpython3[^/]*)$' || true; }
for each in "$modules"/*.so "$to/bin/$name"; do needed "$each"; done | sort -u | while read -r library; do
  cp -L "$library" "$to/lib/"
  chmod 644 "$to/lib/$(basename "$library")"
done
for each in "$to"/lib/*.so*; do
  [ -L "$each" ] || patchelf --set-rpath '$ORIGIN' "$each"
done
for each in "$modules"/*.so; do patchelf --set-rpath '$ORIGIN/../..' "$each"; done
patchelf --set-rpath '$ORIGIN/../lib' "$to/bin/$name"

env -i "$to/bin/python3" -c 'import ctypes, hashlib, lzma, sqlite3, ssl, sys, zlib; print(sys.version.split()[0], ssl.OPENSSL_VERSION)'
find "$to" -name __pycache__ -prune -exec rm -rf {} +
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - python | gzip -n -6 >"$out"
