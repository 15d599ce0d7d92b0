"""The code that runs at every start of an environment's interpreter, before anything that could check it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CUSTOMIZE = frozenset({"sitecustomize", "usercustomize"})
"""Modules that the interpreter imports at every start."""

KNOWN = frozenset({"distutils-precedence.pth", "_virtualenv.pth", "_virtualenv.py"})
"""Files beside the packages that the makers of environments put there themselves, without listing them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartupFile:
    """A customize module or a ``.pth`` file. ``path`` is relative to the package folder, ``runs``: it holds code."""

    path: str
    runs: bool
    folders: tuple[Path, ...] = ()
    """What a ``.pth`` file adds to the path."""

    @property
    def is_module(self) -> bool:
        return not self.path.endswith(".pth")


def startup_files(site: Path) -> tuple[StartupFile, ...]:
    """Every file of a package folder that acts at start, sorted: customize modules first."""
    return tuple(sorted(_found(site), key=lambda each: (not each.is_module, each.path)))


def _found(site: Path) -> Iterator[StartupFile]:
    for name in os.listdir(site):  # noqa: PTH208 - names only
        if name.partition(".")[0] in CUSTOMIZE:
            if (site / name).is_file():
                yield StartupFile(path=name, runs=True)
            elif (site / name / "__init__.py").is_file():
                yield StartupFile(path=f"{name}/__init__.py", runs=True)
        elif name.endswith(".pth"):
            yield _path_file(site, name)


def _path_file(site: Path, name: str) -> StartupFile:
    """Read a ``.pth`` file: lines that begin with ``import`` are run, others are folders (module ``site``)."""
    try:
        text = (site / name).read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    code = [line for line in lines if line.startswith(("import ", "import\t"))]
    # os.path.isdir takes every line for no folder that cannot be a path; Path.is_dir raises for one that is too long.
    folders = tuple(folder for line in lines if line not in code and os.path.isdir(folder := site / line))  # noqa: PTH112
    return StartupFile(path=name, runs=bool(code), folders=folders)
