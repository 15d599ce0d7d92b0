"""Wheels that hold metadata only, so that uv can weigh a wheel it must never look up, fetch or be able to reach."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

PLACEHOLDER_VERSION = "0"


def metadata_text(name: str, version: str, *, requires: Sequence[str], requires_python: str | None) -> str:
    """METADATA that says what the real wheel's says about names, versions and requirements.

    Extras are those the requirements' markers mention. A line break in a requirement is a forged header: it is removed.
    """
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    if requires_python:
        lines.append(f"Requires-Python: {_one_line(requires_python)}")
    lines += [f"Requires-Dist: {_one_line(requirement)}" for requirement in requires]
    lines += [f"Provides-Extra: {extra}" for extra in extras_of(requires)]
    return "\n".join(lines) + "\n"


def extras_of(requires: Sequence[str]) -> tuple[str, ...]:
    """Extras that the requirements' markers ask about, sorted."""
    found: set[str] = set()
    for requirement in requires:
        marker = requirement.partition(";")[2]
        found.update(re.findall(r"""extra\s*==\s*['"]([^'"]+)['"]""", marker))
        found.update(re.findall(r"""['"]([^'"]+)['"]\s*==\s*extra""", marker))
    return tuple(sorted(found))


def write_stub(
    folder: Path, name: str, version: str, *, requires: Sequence[str] = (), requires_python: str | None = None
) -> Path:
    """Write a wheel without code into ``folder`` and return its path. The same arguments give the same bytes."""
    stem = re.sub(r"[-_.]+", "_", name)
    info = f"{stem}-{version}.dist-info"
    path = folder / f"{stem}-{version}-py3-none-any.whl"
    members = {
        "METADATA": metadata_text(name, version, requires=requires, requires_python=requires_python),
        "WHEEL": "Wheel-Version: 1.0\nGenerator: gpuenv\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": f"{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(zipfile.ZipInfo(f"{info}/{member}", date_time=(1980, 1, 1, 0, 0, 0)), text)
    return path


def _one_line(text: str) -> str:
    return " ".join(text.split())
