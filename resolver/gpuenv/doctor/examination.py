"""Everything about an environment that a diagnosis needs, read from plain files: nothing in it is started."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from gpuenv.companions.installed import read_installed
from gpuenv.dataclass import dataclass
from gpuenv.errors import GpuenvError
from gpuenv.installed.compare import Compared, compare
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.drift import PackageChange, added, drift
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.installed.marker import lock_digest
from gpuenv.installed.missing import MissingLibrary, find_missing
from gpuenv.knowledge import load
from gpuenv.knowledge.packages import is_library
from gpuenv.lock.fit import fits_machine
from gpuenv.lock.model import Lock
from gpuenv.model.library import PackageFacts
from gpuenv.model.machine import Machine
from gpuenv.system.files import read_bytes
from gpuenv.system.process import absolute_path

_COMPILED = ("torch", "torchvision", "torchaudio")
"""What is imported first, so that a library that it lacks stops everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was read. ``machine`` is the one the environment is to run on, ``None`` where that is not asked."""

    facts: EnvironmentFacts
    compared: Compared
    shown: str
    """The environment as a person names it: what a fix has to name."""
    beside: str
    """A folder beside it that is free, for one that gpuenv builds."""
    profile: str = ""
    """The profile that was asked for, for an environment that does not tell its own; empty where none was."""
    machine: Machine | None = None
    changes: tuple[PackageChange, ...] = ()
    """What was changed since the build, or against ``lock``."""
    extensions: tuple[PackageFacts, ...] = ()
    """The libraries of packages beside torch, where the machine has GPUs and torch would use them."""
    missing: tuple[MissingLibrary, ...] = ()
    """What the libraries of torch and its companions need and Windows does not find."""
    additions: tuple[Distribution, ...] = ()
    """What building it again would take away."""
    lock_name: str = ""
    """The lock it was compared with; empty where there was none."""
    lock_moved_on: bool = False
    """The lock is no longer the one the environment was built from."""
    lock_refuses: bool = False
    """The lock is not for the machine, so that building from it again would be refused."""
    distribution: tuple[str, ...] = ()
    """The system's ID and those it is like (os-release(5)), nearest first."""
    compiler: str | None = None
    headers: bool = True
    """Whether Python.h lies beside the base interpreter (or where that cannot be told)."""
    toolkit: str | None = None
    """CUDA version of the toolkit that CUDA_HOME names."""

    @property
    def minor(self) -> str:
        """The environment's Python, ``X.Y``."""
        return ".".join(self.facts.python_version.split(".")[:2])


def examine(
    facts: EnvironmentFacts,
    *,
    environ: Mapping[str, str],
    machine: Machine | None = None,
    lock: Lock | None = None,
    lock_path: Path | None = None,
    deep: bool = False,
    shown: str = "",
    profile: str = "",
) -> Examination:
    """Examine an environment more closely. ``deep`` hashes every file against its RECORD instead of comparing sizes.

    With ``lock`` (and ``lock_path``, the file it was read from) the installed packages are compared with it, else with
    what the environment's own marker says.
    """
    marker = facts.marker
    locked = {package.name: package.version for package in lock.packages} if lock is not None else None
    changes: tuple[PackageChange, ...] = ()
    if marker is not None or lock is not None:
        changes = drift(facts, expected=locked, family=[each.name for each in lock.family] if lock else ())
    moved = (
        marker is not None and lock_path is not None and lock_path.is_file() and lock_digest(lock_path) != marker.lock
    )
    refuses = lock is not None and machine is not None and fits_machine(lock, machine, load()) is not None
    return Examination(
        facts=facts,
        compared=compare(facts, deep=deep),
        shown=shown or str(facts.path),
        beside=beside(facts.path, shown=shown),
        profile=profile,
        machine=machine,
        changes=changes,
        extensions=_extensions(facts, machine),
        missing=find_missing(facts.path, _COMPILED, environ=environ),
        additions=added(facts, locked=locked or ()),
        lock_name=lock_path.name if lock is not None and lock_path is not None else "",
        lock_moved_on=moved,
        lock_refuses=refuses,
        distribution=read_distribution(),
        compiler=find_compiler(environ),
        headers=has_headers(facts),
        toolkit=read_toolkit(environ),
    )


def _extensions(facts: EnvironmentFacts, machine: Machine | None) -> tuple[PackageFacts, ...]:
    """Read the libraries of packages, but for torch and for NVIDIA's own.

    Those follow torch's CUDA, which is compared elsewhere, and compile much of their code when it is needed.
    """
    torch = facts.torch
    if machine is None or not machine.gpus or torch is None or not torch.cuda:
        return ()
    return read_installed(facts, skip=lambda name: name == "torch" or is_library(name))


def beside(environment: Path, *, shown: str = "") -> str:
    """A free name beside an environment, written as it is."""
    names = (".venv-gpu", *(f".venv-gpu-{number}" for number in range(2, 100)))
    free = next(name for name in names if not (environment.parent / name).exists())
    return str(Path(shown or environment).parent / free)


def find_compiler(environ: Mapping[str, str]) -> str | None:
    """The C compiler that torch.compile would call: ``CC``, else the first of the usual names on PATH."""
    path = absolute_path(environ)
    names = [environ["CC"].split()[0]] if environ.get("CC", "").strip() else ["cc", "gcc", "clang", "cl"]
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def read_distribution() -> tuple[str, ...]:
    """The ID of this system and those it is like, by os-release(5); empty where there is no such file."""
    try:
        told = platform.freedesktop_os_release()
    except OSError:
        return ()
    return (told.get("ID", ""), *told.get("ID_LIKE", "").split())


def has_headers(facts: EnvironmentFacts) -> bool:
    """Whether Python.h lies where the base interpreter keeps it; true where the base is not known."""
    version = ".".join(facts.python_version.split(".")[:2])
    if not facts.base or not version:
        return True
    home = Path(os.path.realpath(facts.base))  # Path.resolve raises where links lead in a circle
    prefix = home.parent if home.name in ("bin", "Scripts") else home
    places = (prefix / "include" / f"python{version}", prefix / "include", prefix / "Include")
    return any(os.path.isfile(place / "Python.h") for place in places)  # noqa: PTH113 - Path raises for what is too long


def read_toolkit(environ: Mapping[str, str]) -> str | None:
    """The CUDA version of the toolkit at CUDA_HOME, from its version.json; ``None`` where there is none."""
    home = environ.get("CUDA_HOME") or environ.get("CUDA_PATH")
    if not home:
        return None
    try:
        version = json.loads(read_bytes(Path(home) / "version.json", what="the toolkit's version"))["cuda"]["version"]
    except (GpuenvError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return version if isinstance(version, str) else None
