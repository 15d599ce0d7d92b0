"""The Python interpreters an environment can be built on, here and, where uv may fetch one, from outside.

uv does the looking. What is added: version managers such as pyenv put *shims* on PATH, which take 80 ms each to ask and
answer for the version in force only; the interpreters behind them are looked at instead (asked a second time, 0.02 s
in place of 0.8 s, and 3.12 is found although 3.11 is in force).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from packaging.version import InvalidVersion, Version

from gpuenv.dataclass import dataclass
from gpuenv.environment.uv import Uv
from gpuenv.errors import GpuenvError, InterpreterError
from gpuenv.report import Reporter

_DEADLINE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A CPython with the GIL. ``version`` is complete (``3.12.1``); ``path`` is ``None`` for one uv would download."""

    version: str
    path: Path | None
    origin: Literal["running", "installed", "download"]

    @property
    def minor(self) -> str:
        """``X.Y``, as wheels and decisions name it."""
        return ".".join(self.version.split(".")[:2])

    @property
    def request(self) -> str:
        """What to give to ``uv --python``."""
        return str(self.path) if self.path is not None else self.version


def find_interpreters(
    uv: Uv, *, cwd: Path, reporter: Reporter, cache: Path | None = None, downloads: bool = False
) -> tuple[Interpreter, ...]:
    """List the interpreters that can be had, newest first; one a version, installed before running before downloadable.

    ``downloads`` adds those that uv offers to fetch (from its own table: nothing is asked of the network). Where uv
    fails, the interpreter that runs gpuenv is still known. Free-threaded builds, pre-releases and other implementations
    are left out: PyTorch's stable wheels are not made for them.
    """
    found = _listed(uv, cwd=cwd, reporter=reporter, cache=cache, downloads=False)
    return with_running(
        found, _listed(uv, cwd=cwd, reporter=reporter, cache=cache, downloads=True) if downloads else ()
    )


def with_running(installed: Iterable[Interpreter], others: Iterable[Interpreter] = ()) -> tuple[Interpreter, ...]:
    """Put the interpreter that runs gpuenv between those that are installed and others; one a version, newest first."""
    first: dict[str, Interpreter] = {}
    for each in (*installed, running_interpreter(), *others):
        first.setdefault(each.version, each)
    return tuple(sorted(first.values(), key=lambda each: Version(each.version), reverse=True))


def interpreter_for(python: str, interpreters: Iterable[Interpreter]) -> Interpreter | None:
    """Choose the interpreter for ``X.Y`` (or ``X.Y.Z``): one that is here first, then the newest patch."""
    fitting = [each for each in interpreters if python in (each.minor, each.version)]
    return max(fitting, key=lambda each: (each.path is not None, Version(each.version)), default=None)


def require_interpreter(python: str, interpreters: Sequence[Interpreter]) -> Interpreter:
    """Like :func:`interpreter_for`; raises :class:`~gpuenv.errors.InterpreterError` where there is none."""
    found = interpreter_for(python, interpreters)
    if found is not None:
        return found
    have = ", ".join(f"{each.version} ({each.path or 'download'})" for each in interpreters)
    raise InterpreterError(
        f"no interpreter of Python {python} is installed",
        causes=(f"found: {have or 'none'}",),
        hints=(
            f"Let uv fetch one: `uv python install {python}`",
            f"or decide for a Python that is here: --python {interpreters[0].minor}" if interpreters else "",
        ),
    )


def running_interpreter() -> Interpreter:
    """The interpreter that runs gpuenv itself: its base, where gpuenv lives in an environment."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Interpreter(version=version, path=Path(base), origin="running")


def search_path(path: str) -> str:
    """Replace the shims of version managers on a PATH by the interpreters behind them, put last, sorted.

    Known layouts: pyenv (``versions/*/bin`` beside ``shims``), asdf and mise (``installs/python/*/bin``).
    """
    kept: list[str] = []
    behind: list[str] = []
    for folder in path.split(os.pathsep):
        root = Path(folder)
        if root.name != "shims":
            kept.append(folder)
            continue
        bins = [*root.parent.glob("versions/*/bin"), *root.parent.glob("installs/python/*/bin")]
        if bins:
            behind += sorted(str(each) for each in bins)
        else:
            kept.append(folder)
    return os.pathsep.join(dict.fromkeys(kept + behind))


def parse_listing(text: str, *, origin: Literal["installed", "download"]) -> tuple[Interpreter, ...]:
    """Read ``uv python list --output-format json``; rows of no use to us and those of the other origin are left out."""
    found: list[Interpreter] = []
    for row in json.loads(text):
        path = row.get("path")
        if row.get("implementation") != "cpython" or row.get("variant") != "default":
            continue
        if (path is None) != (origin == "download"):
            continue
        try:
            if Version(row["version"]).is_prerelease:
                continue
        except InvalidVersion:
            continue
        found.append(Interpreter(version=row["version"], path=Path(path) if path else None, origin=origin))
    return tuple(found)


def _listed(uv: Uv, *, cwd: Path, reporter: Reporter, cache: Path | None, downloads: bool) -> tuple[Interpreter, ...]:
    args = ["python", "list", "--offline", "--output-format", "json"]
    args += ["--only-downloads"] if downloads else ["--only-installed"]
    environ = {
        "PATH": search_path(uv.environ.get("PATH", "")),
        "UV_PYTHON_DOWNLOADS": "automatic" if downloads else "never",
    }
    try:
        done = uv.run(args, cwd=cwd, deadline=_DEADLINE_SECONDS, reporter=reporter, cache=cache, extra_env=environ)
        if done.returncode == 0:
            found = parse_listing(done.stdout, origin="download" if downloads else "installed")
            # uv names those below the folder it is started in relative to it, and is started elsewhere to build.
            return tuple(each if each.path is None else replace(each, path=cwd / each.path) for each in found)
        reporter.detail(f"uv python list failed: {done.stderr.strip()[-200:]}")
    except (GpuenvError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:  # another list
        reporter.detail(f"uv python list failed: {error}")
    return ()
