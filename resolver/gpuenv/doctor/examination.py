"""Everything about an environment that a diagnosis needs, read from plain files: nothing in it is started."""

from __future__ import annotations

import email.parser
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gpuenv.environment.compare import Difference
from gpuenv.environment.drift import Change, damage, drift
from gpuenv.environment.inspect import EnvironmentFacts, inspect
from gpuenv.environment.marker import digest
from gpuenv.errors import GpuenvError
from gpuenv.lock.model import Lock
from gpuenv.model.machine import Machine
from gpuenv.system.files import read_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was read. ``machine`` is the one the environment is to run on, ``None`` where that is not asked."""

    facts: EnvironmentFacts
    machine: Machine | None = None
    requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Requires-Dist of each installed package, by normalized name."""
    changes: tuple[Change, ...] = ()
    """What was changed since the build, or against ``lock``."""
    damaged: tuple[Difference, ...] = ()
    lock_name: str = ""
    """The lock it was compared with; empty where there was none."""
    lock_moved_on: bool = False
    """The lock is no longer the one the environment was built from."""
    compiler: str | None = None
    headers: bool = True
    """Whether Python.h lies beside the base interpreter (or where that cannot be told)."""
    toolkit: str | None = None
    """CUDA version of the toolkit that CUDA_HOME names."""


def examine(
    environment: Path,
    *,
    environ: Mapping[str, str],
    machine: Machine | None = None,
    lock: Lock | None = None,
    lock_path: Path | None = None,
    full: bool = False,
) -> Examination:
    """Read an environment. ``full`` hashes every file against its RECORD instead of comparing sizes.

    With ``lock`` (and ``lock_path``, the file it was read from) the installed packages are compared with it, else with
    what the environment's own marker says. Raises :class:`~gpuenv.errors.UsageError` for a folder that is no
    environment.
    """
    facts = inspect(environment)
    marker = facts.marker
    changes: tuple[Change, ...] = ()
    if lock is not None:
        expected = {package.name: package.version for package in lock.packages}
        family = [package.name for package in lock.family]
        changes = drift(environment, expected=expected, family=family, marker=marker)
    elif marker is not None:
        changes = drift(environment, marker=marker)
    moved = marker is not None and lock_path is not None and lock_path.is_file() and digest(lock_path) != marker.lock
    return Examination(
        facts=facts,
        machine=machine,
        requires=read_requires(facts.site) if facts.site else {},
        changes=changes,
        damaged=damage(environment, full=full),
        lock_name=lock_path.name if lock is not None and lock_path is not None else "",
        lock_moved_on=moved,
        compiler=find_compiler(environ),
        headers=has_headers(facts),
        toolkit=read_toolkit(environ),
    )


def read_requires(site: Path) -> dict[str, tuple[str, ...]]:
    """Requires-Dist of every distribution of a site-packages folder; those that cannot be read are left out."""
    from packaging.utils import canonicalize_name

    found: dict[str, tuple[str, ...]] = {}
    for metadata in sorted(site.glob("*.dist-info/METADATA")):
        try:
            message = email.parser.HeaderParser().parsestr(metadata.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        name = canonicalize_name(metadata.parent.name.partition("-")[0])
        found[name] = tuple(str(value) for value in message.get_all("Requires-Dist") or ())
    return found


def find_compiler(environ: Mapping[str, str]) -> str | None:
    """The C compiler that torch.compile would call: ``CC``, else the first of the usual names on PATH."""
    path = environ.get("PATH", "")
    wanted = [environ["CC"].split()[0]] if environ.get("CC", "").strip() else ["cc", "gcc", "clang", "cl"]
    return next((found for name in wanted if (found := shutil.which(name, path=path))), None)


def has_headers(facts: EnvironmentFacts) -> bool:
    """Whether Python.h lies where the base interpreter keeps it; true where the base is not known."""
    version = ".".join(facts.python_version.split(".")[:2])
    if not facts.base or not version:
        return True
    home = Path(facts.base)
    prefix = home.parent if home.name in ("bin", "Scripts") else home
    places = (prefix / "include" / f"python{version}", prefix / "include", prefix / "Include")
    return any((place / "Python.h").is_file() for place in places)


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
