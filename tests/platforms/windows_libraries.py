"""What `gpuenv inspect` under Wine says of real Windows wheels, against objdump and cuobjdump on this machine.

    windows_libraries.py FOLDER CUOBJDUMP WHEEL ...

FOLDER is what windows.sh made, CUOBJDUMP the program of NVIDIA's nvidia-cuda-cuobjdump. Imports: every name that
mingw-w64's `objdump -p` prints, and of what it does not print (delayed imports) only names that stand in the file.
Machine code: cuobjdump reads no PE file, so that the section is put into an ELF file for it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from zipfile import ZipFile

OBJDUMP, OBJCOPY = "x86_64-w64-mingw32-objdump", "x86_64-w64-mingw32-objcopy"
_IMAGE = re.compile(r"(?:ELF|PTX) file\s+\d+: \S*?\.(?:sm|compute)_(\d+[af]?)\.")


def inspected(folder: Path, wheel: Path) -> list[dict[str, Any]]:
    """The libraries of a wheel as gpuenv under Wine tells them."""
    there = folder / "root/w/inspected"
    there.mkdir(exist_ok=True)
    shutil.copy(wheel, there / wheel.name)
    words = [folder / "run", "gpuenv", "inspect", f"Z:\\w\\inspected\\{wheel.name}", "--libraries", "--json"]
    done = subprocess.run(words, capture_output=True, check=False)
    (there / wheel.name).unlink()
    answer = json.loads(done.stdout)
    assert answer["status"] == "ok", answer
    assert not answer["data"]["unread"], answer["data"]["unread"]
    libraries: list[dict[str, Any]] = answer["data"]["libraries"]
    return libraries


def imports(path: Path) -> set[str]:
    """The libraries that objdump names."""
    said = subprocess.run([OBJDUMP, "-p", path], capture_output=True, check=True).stdout.decode(errors="replace")
    return {line.split(":", 1)[1].strip() for line in said.splitlines() if line.strip().startswith("DLL Name:")}


def code(path: Path, cuobjdump: str, work: Path) -> tuple[Counter[str], Counter[str]] | str:
    """Machine code and PTX as cuobjdump counts them by architecture; why it cannot where it cannot."""
    raw, elf = work / "raw", work / "raw.o"
    subprocess.run([OBJCOPY, "-O", "binary", "--only-section=.nv_fatb", path, raw], check=True)
    if not raw.is_file() or raw.stat().st_size == 0:
        return Counter(), Counter()
    renamed = ["--rename-section", ".data=.nv_fatbin"]
    subprocess.run(["objcopy", "-I", "binary", "-O", "elf64-x86-64", *renamed, raw, elf], check=True)
    counts = []
    for option in ("-lelf", "-lptx"):
        done = subprocess.run([cuobjdump, option, elf], capture_output=True, text=True, check=False)
        if done.returncode:
            return (done.stderr or done.stdout).strip().splitlines()[0]
        counts.append(Counter(_IMAGE.findall(done.stdout)))
    return counts[0], counts[1]


def numbers(names: list[str]) -> set[str]:
    return {name.partition("_")[2] for name in names}


def main(folder: Path, cuobjdump: str, *wheels: Path) -> int:
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        for wheel in wheels:
            print(wheel.name)
            with ZipFile(wheel) as archive:
                for said in inspected(folder, wheel):
                    path = Path(archive.extract(said["path"], work / "files"))
                    needed, theirs = set(said["needed"]), imports(path)
                    body = path.read_bytes()
                    delayed = needed - theirs
                    same = theirs <= needed and all(each.encode() + b"\0" in body for each in delayed)
                    counted = code(path, cuobjdump, work)
                    known = said["sass"] or [], said["ptx"] or []
                    alike = (
                        f"cuobjdump: {counted}"
                        if isinstance(counted, str)
                        else "same code"
                        if [set(each) for each in counted] == [numbers(each) for each in known]
                        else f"ANOTHER CODE {sorted(counted[0])} {sorted(counted[1])}"
                    )
                    wrong += (not same) + ("ANOTHER" in alike)
                    also = f" and {', '.join(sorted(delayed))} delayed" if delayed else ""
                    shown = f"{len(theirs)} imports{also}" if same else f"OTHER IMPORTS {sorted(theirs ^ needed)}"
                    what = " ".join([*known[0], *known[1]]) or "no code"
                    print(f"  {said['path']}: {shown}; {what}: {alike}", flush=True)
                    path.unlink()
                    for left in work.glob("raw*"):
                        left.unlink()
    print("all equal" if not wrong else f"{wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:])))
