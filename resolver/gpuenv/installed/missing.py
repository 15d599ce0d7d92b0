"""Which libraries Windows' loader does not find for an environment's packages, and what brings each.

The loader says "one of its dependencies" (WinError 126) and never which. What a library asks for stands in the file;
what there is, in the folders where the loader looks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.documents import shipped
from gpuenv.installed.fatbin import FatbinError, mapped
from gpuenv.installed.pe import read_pe
from gpuenv.installed.places import configuration, site_packages

_LIBRARY = (".dll", ".pyd")
_OF_WINDOWS = ("api-ms-", "ext-ms-")
"""Names that stand for a set of functions, wherever this release of Windows keeps them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingLibrary:
    """A library that nothing has, who asks for it, and what brings it (empty: not in the table)."""

    name: str
    wanted_by: str
    brings: str = ""
    least: str = ""
    hint: str = ""

    def __str__(self) -> str:
        version = f" {self.least} or newer" if self.least else ""
        source = f": it comes with {self.brings}{version}" if self.brings else ""
        return f"{self.wanted_by} needs {self.name}, which is not here{source}"


def find_missing(
    environment: Path, packages: Iterable[str], *, environ: Mapping[str, str]
) -> tuple[MissingLibrary, ...]:
    """What the libraries of ``packages`` (folders of an environment) need and nobody has, by name; on Windows alone.

    Whatever lies beside the libraries or the interpreter, on PATH or with Windows counts as found, so that nothing is
    called missing that a program could load.
    """
    if os.name != "nt":
        return ()
    site = site_packages(environment)
    if site is None:
        return ()
    base = Path(configuration(environment).get("home", environment))
    folders = [site / name for name in packages]
    libraries = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix.lower() in _LIBRARY]
    windows = Path(environ.get("SYSTEMROOT") or "C:\\Windows")
    places = [base, windows / "System32", windows, *(Path(each) for each in environ.get("PATH", "").split(os.pathsep))]
    beside = {path.name.lower() for path in libraries}
    return missing_of(libraries, has=lambda name: name in beside or any((place / name).exists() for place in places))


def missing_of(libraries: Iterable[Path], *, has: Callable[[str], bool]) -> tuple[MissingLibrary, ...]:
    """Ask ``has`` for each name, in lower case, that ``libraries`` cannot be loaded without."""
    wanted: dict[str, tuple[str, str]] = {}
    for path in libraries:
        try:
            with mapped(path) as data:
                imports = read_pe(data)
        except (OSError, FatbinError):  # the comparison with RECORD speaks of a damaged file
            continue
        for each in imports:
            if not each.delayed:
                wanted.setdefault(each.library.lower(), (each.library, path.name))
    return tuple(
        describe(name, wanted_by=by)
        for low, (name, by) in sorted(wanted.items())
        if not low.startswith(_OF_WINDOWS) and not has(low)
    )


def describe(name: str, *, wanted_by: str) -> MissingLibrary:
    """What brings a library, by table (``missing.toml``)."""
    rows = shipped(__file__, "missing")["library"]
    row: dict[str, str] = next((row for row in rows if re.fullmatch(row["name"], name, re.IGNORECASE)), {})
    return MissingLibrary(
        name=name,
        wanted_by=wanted_by,
        brings=row.get("brings", ""),
        least=row.get("least", ""),
        hint=row.get("hint", ""),
    )
