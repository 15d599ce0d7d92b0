"""Compare what gpuenv reads out of wheels' libraries with what readelf, nm, objdump and cuobjdump say.

    python tools/compare_libraries.py --cuobjdump PATH WHEEL… > table.md

Prints a Markdown table, one row a wheel, and each difference on stderr; exit 1 where there is one. By hand: it needs
binutils, NVIDIA's cuobjdump (the package nvidia-cuda-cuobjdump; it needs no GPU) and wheels of hundreds of megabytes.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path

from gpuenv.companions.library import is_library
from gpuenv.companions.wheel import list_libraries, read_package
from gpuenv.index.wheelfile import open_wheel
from gpuenv.model.library import LibraryFacts, PackageFacts
from gpuenv.net.client import Client

_KINDS = "non-virtual thunk to |virtual thunk to |typeinfo for |typeinfo name for |vtable for |guard variable for "
TORCH = re.compile(rf"(?:{_KINDS})?(?:at|c10|torch|caffe2)::")
STABLE = re.compile(r"(?:aoti_)?torch_\w+")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuobjdump", type=Path, required=True)
    parser.add_argument("wheels", nargs="+", type=Path)
    options = parser.parse_args()
    wrong = 0
    print("| wheel | size | libraries | device code | with torch symbols | CUDA | seconds | differences |")
    print("|---|---:|---:|---|---|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder, Client(cache=Path(folder) / "cache", environ={}) as http:
        for path in options.wheels:
            began = time.process_time()
            with open_wheel(path, http=http) as wheel:
                project, version = path.name.split("-")[:2]
                found = read_package(wheel, list_libraries(wheel), project=project, version=version)
            spent = time.process_time() - began
            problems = [f"unread: {each}" for each in found.unread]
            symbols, defined = {}, set()
            with zipfile.ZipFile(path) as archive:
                for library in found.libraries:
                    place = Path(archive.extract(library.path, folder))
                    problems += [f"{library.path}: {each}" for each in differences(library, place, options.cuobjdump)]
                    if library.format == "elf":
                        symbols[library.path] = undefined(place)
                        defined |= exported(place)
                    place.unlink()
                listed = sum(is_library(name) for name in archive.namelist())
            for library in found.libraries:
                wanted = symbols.get(library.path)
                if wanted is not None and set(library.torch_symbols) != wanted - defined:
                    odd = sorted(set(library.torch_symbols) ^ (wanted - defined))
                    problems.append(f"{library.path}: torch symbols: {len(odd)} differ, such as {odd[0]}")
            if listed != len(found.libraries) + len(found.unread):
                problems.append(f"{listed} libraries in the archive")
            for problem in problems:
                print(f"{path.name}: {problem}", file=sys.stderr)
            wrong += bool(problems)
            print(row(found, path, spent, len(problems)), flush=True)
    return 1 if wrong else 0


def row(found: PackageFacts, path: Path, seconds: float, problems: int) -> str:
    codes = {}
    for each in found.own:
        if each.has_device_code:
            ptx = f" + PTX {numbers(each.ptx)}" if each.ptx else ""
            codes[f"{numbers(each.sass)}{ptx}"] = None
    kinds = [each.binding for each in found.own]
    counts = [f"{kinds.count(kind)} {kind}" for kind in ("bound", "stable") if kind in kinds]
    cells = [
        *(f"`{path.name}`", f"{path.stat().st_size / 1e6:.1f} MB", str(len(found.libraries))),
        *("; ".join(codes) or "–", ", ".join(counts) or "–", " ".join(map(str, found.cuda_majors)) or "–"),
        *(f"{seconds:.1f}", str(problems)),
    ]
    return f"| {' | '.join(cells)} |"


def numbers(codes: Iterable[str]) -> str:
    return " ".join(code.partition("_")[2] for code in codes)


def run(*words: object, text: str | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words], input=text, capture_output=True, text=True, errors="replace", check=False
    )
    return done.stdout


def differences(library: LibraryFacts, place: Path, cuobjdump: Path) -> list[str]:
    """What the other programs say otherwise of one library."""
    found = []

    def same(what: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            found.append(f"{what}: {ours}, they say {theirs}")

    if library.format == "pe":
        names = set(re.findall(r"DLL Name: (\S+)", run("objdump", "-p", place)))
        same("needed", set(library.needed), names)
    else:
        same("needed", set(library.needed), set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-dW", place))))
        needs = run("readelf", "-VW", place).partition("Version needs section")[2]
        versions = re.findall(r"Name: ((?:GLIBC|GLIBCXX)_[\d.]+)\s", needs)
        same("glibc", library.glibc, highest(versions, "GLIBC_"))
        same("libstdc++", library.glibcxx, highest(versions, "GLIBCXX_"))
    sass, ptx = set(), set()
    kind = ""
    for line in run(cuobjdump, place).splitlines():
        if line.startswith("Fatbin "):
            kind = line.split()[1]
        elif line.startswith("arch = "):
            (sass if kind == "elf" else ptx).add(line.split()[-1])
    # cuobjdump lists what is for a linker (__nv_relfatbin) among the rest
    same("machine code", {*library.sass, *library.relocatable}, sass)
    same("PTX", {name.replace("compute_", "sm_") for name in library.ptx}, ptx)
    return found


def highest(versions: list[str], prefix: str) -> str:
    numbers = [tuple(map(int, each.removeprefix(prefix).split("."))) for each in versions if each.startswith(prefix)]
    return ".".join(map(str, max(numbers, default=())))


def undefined(place: Path) -> set[str]:
    """Undefined symbols in torch's namespaces, by their demangled names, and those of its stable interface."""
    lines = run("nm", "-D", "--undefined-only", place).splitlines()
    names = [line.split()[-1].partition("@")[0] for line in lines if " U " in line]
    shown = run("c++filt", text="\n".join(names)).splitlines()
    return {name for name, said in zip(names, shown, strict=True) if torch_entity(name, said)}


def torch_entity(name: str, said: str) -> bool:
    if not name.startswith("_Z"):
        return bool(STABLE.fullmatch(name)) or bool(re.match(r"THP[A-Z]", name))
    if TORCH.match(said):
        return True
    # the return type of a template's instance stands before its name
    head = re.split(r"\(", re.sub(r"<[^<>]*>", "", re.sub(r"<[^<>]*>", "", re.sub(r"<[^<>]*>", "", said))))[0]
    return bool(re.search(r"(?:^|\s|\*|&)(?:at|c10|torch|caffe2)::[\w:~]+$", head)) or bool(re.match(r"THP[A-Z]", said))


def exported(place: Path) -> set[str]:
    return {line.split()[-1].partition("@")[0] for line in run("nm", "-D", "--defined-only", place).splitlines()}


if __name__ == "__main__":
    sys.exit(main())
