"""The facts of any environment, ours or not, learned without starting anything in it.

An environment may be broken in ways that make ``import torch`` crash or hang, and its ``sitecustomize`` may lie: so
everything here is read from files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpuenv.environment.drift import Installed, installed
from gpuenv.environment.marker import Marker, read_marker
from gpuenv.environment.tree import python_version, site_packages
from gpuenv.errors import ConfigurationError, UsageError

_CUDA_CONFIG = "torch/include/ATen/cuda/CUDAConfig.h"
_ASSIGNED = r"^{name}(?:\s*:[^=\n]+)?\s*=\s*(?:['\"](?P<value>[^'\"\n]*)['\"]|None)\s*$"
_CODE = re.compile(r"code=\[?(?P<targets>[A-Za-z0-9_,]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFacts:
    """What an installed torch says of itself. ``cuda`` is empty for a build without CUDA."""

    version: str
    cuda: str
    git: str
    hip: str
    sass: tuple[str, ...] | None
    """Architectures with machine code, ascending; ``None`` where the installed files do not tell."""
    ptx: tuple[str, ...] | None
    origin: str
    """The file the architectures were read from, else the one that was missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentFacts:
    """An environment as it lies on the disk. ``broken`` holds one sentence a fault, sorted."""

    path: Path
    kind: Literal["gpuenv", "venv", "conda", "system"]
    python: Path | None
    """Its interpreter, ``None`` where it is missing or its link leads nowhere."""
    python_version: str
    """``3.12.1``, or ``3.12`` where only the folder tells."""
    base: str
    """The folder of the interpreter it was made from, as ``pyvenv.cfg`` names it; empty without one."""
    site: Path | None
    packages: tuple[Installed, ...]
    torch: TorchFacts | None
    marker: Marker | None
    broken: tuple[str, ...]

    @property
    def versions(self) -> dict[str, str]:
        """Installed versions by normalized name."""
        return {each.name: each.version for each in self.packages}


def inspect(environment: Path) -> EnvironmentFacts:
    """Look at an environment: a folder with an interpreter and packages, by whatever tool it was made.

    Raises :class:`~gpuenv.errors.UsageError` for a folder that is no environment.
    """
    site = site_packages(environment)
    configured = (environment / "pyvenv.cfg").is_file()
    python = find_python(environment)
    if site is None and not configured and python is None:
        missing = (
            "there is no such folder" if not environment.is_dir() else "it has neither pyvenv.cfg nor site-packages"
        )
        raise UsageError(
            f"{environment} is not an environment", causes=(missing,), hints=("Build one: `gpuenv create`",)
        )
    broken: list[str] = []
    marker = None
    try:
        marker = read_marker(environment)
    except ConfigurationError as error:
        broken.append(error.message)
    packages = installed(environment)
    broken += [f"{each.name} {each.version}: {each.problem}" for each in packages if each.problem]
    if python is None:
        broken.append("its interpreter is gone" + _where_it_was(environment))
    if site is None:
        broken.append("it has no site-packages folder")
    kind: Literal["gpuenv", "venv", "conda", "system"]
    if marker is not None:
        kind = "gpuenv"
    elif configured:
        kind = "venv"
    else:
        kind = "conda" if (environment / "conda-meta").is_dir() else "system"
    return EnvironmentFacts(
        path=environment,
        kind=kind,
        python=python,
        python_version=python_version(environment) or _version_of_folder(site),
        base=_base(environment),
        site=site,
        packages=packages,
        torch=read_torch(site) if site else None,
        marker=marker,
        broken=tuple(sorted(broken)),
    )


def find_python(environment: Path) -> Path | None:
    """The interpreter of an environment that can be started, ``None`` where there is none."""
    for name in ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe"):
        path = environment / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def read_torch(site: Path) -> TorchFacts | None:
    """Read what an installed torch says of itself, ``None`` without torch. ``import torch`` is not needed for that."""
    try:
        text = (site / "torch/version.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    cuda = _assigned(text, "cuda")
    sass: tuple[str, ...] | None = ()
    ptx: tuple[str, ...] | None = ()
    origin = "torch/version.py"
    if cuda:
        origin = _CUDA_CONFIG
        try:
            sass, ptx = parse_targets((site / _CUDA_CONFIG).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            sass = ptx = None
    return TorchFacts(
        version=_assigned(text, "__version__"),
        cuda=cuda,
        git=_assigned(text, "git_version"),
        hip=_assigned(text, "hip"),
        sass=sass,
        ptx=ptx,
        origin=origin,
    )


def parse_targets(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the compiler's targets out of ``CUDAConfig.h``: machine code, and PTX.

    >>> parse_targets('"-gencode;arch=compute_90,code=sm_90;-gencode;arch=compute_120,code=compute_120"')
    (('sm_90',), ('compute_120',))
    """
    found = {target for match in _CODE.finditer(text) for target in match["targets"].split(",")}
    sass = tuple(sorted((each for each in found if each.startswith("sm_")), key=_order))
    ptx = tuple(sorted((each for each in found if each.startswith("compute_")), key=_order))
    return sass, ptx


def _order(target: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", target)
    return int(digits) if digits else 0, target


def _assigned(text: str, name: str) -> str:
    match = re.search(_ASSIGNED.format(name=re.escape(name)), text, re.MULTILINE)
    return (match["value"] or "") if match else ""


def _where_it_was(environment: Path) -> str:
    link = environment / "bin/python"
    return f": {link} leads to {link.readlink()}, which is not there" if link.is_symlink() else ""


def _base(environment: Path) -> str:
    try:
        text = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return ""
    match = re.search(r"^home\s*=\s*(.+?)\s*$", text, re.MULTILINE)
    return match[1] if match else ""


def _version_of_folder(site: Path | None) -> str:
    match = re.search(r"python(\d+\.\d+)", str(site)) if site else None
    return match[1] if match else ""
