"""An environment as it lies on the disk: the facts that every question about it starts from."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.installed import places
from gpuenv.installed.distribution import Distribution, distributions
from gpuenv.installed.marker import MARKER, Marker, read_marker
from gpuenv.installed.torch import TorchFacts, read_torch

Kind = Literal["gpuenv", "venv", "conda", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentFacts:
    """What was read. Nothing in it was started."""

    path: Path
    kind: Kind
    python: Path | None
    """Its interpreter, ``None`` where it is missing or its link leads nowhere."""
    python_version: str
    """``3.12.1``, or ``3.12`` where only the folder tells."""
    base: str
    """The folder of the interpreter it was made from, as ``pyvenv.cfg`` names it; empty without one."""
    sites: tuple[Path, ...]
    """The folders that hold its packages, the one that installers use first."""
    system_site_packages: bool
    distributions: tuple[Distribution, ...]
    """Its own, by name; of one name there may be two."""
    inherited: tuple[Distribution, ...]
    """Those of the base interpreter, where it may use them."""
    startup: tuple[StartupFile, ...]
    torch: TorchFacts | None
    marker: Marker | None
    marker_problem: str
    """Why ``gpuenv.json`` cannot be read; empty where it can, or where there is none."""
    problems: tuple[str, ...]
    """What keeps it from being whole, one sentence each, sorted. The marker is not among them."""
    leftovers: tuple[Path, ...]
    """Package folders of other Pythons, which its interpreter does not use."""

    @property
    def site(self) -> Path | None:
        """The folder that packages are installed into."""
        return self.sites[0] if self.sites else None

    @property
    def orphans(self) -> tuple[Path, ...]:
        """Packages beside the others that no distribution lists: folders with code and without metadata."""
        listed = {row.path for each in self.distributions for row in each.rows if row.path.endswith("/__init__.py")}
        bare = {each.name for each in self.distributions if not each.rows}
        found = []
        for site in self.sites:
            prefix = site.relative_to(self.path).as_posix()
            for folder in sorted(site.iterdir()):
                inside = (folder / "__init__.py").is_file() and f"{prefix}/{folder.name}/__init__.py" not in listed
                if inside and canonicalize_name(folder.name) not in bare:
                    found.append(folder)
        return tuple(found)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every folder that the interpreter would search for packages, without running any start-up code."""
        return (*self.sites, *(folder for each in self.startup for folder in each.folders))

    def version_of(self, name: str) -> str | None:
        """The version of one of its own packages; of two, the last by name of their folders."""
        return next((each.version for each in reversed(self.distributions) if each.name == name), None)

    @property
    def versions(self) -> dict[str, str]:
        """Versions by normalized name, those it inherits included."""
        return {each.name: each.version for each in (*self.inherited, *self.distributions)}


def read_environment(environment: Path, *, shown: str | None = None, files: bool = True) -> EnvironmentFacts:
    """Read a folder with an interpreter and packages, by whatever tool it was made. ``shown`` is its name in the error.

    Without ``files`` the rows of RECORDs are left out: 30 ms for 16,000, where only packages are asked for.

    Raises :class:`~gpuenv.errors.UsageError` for a folder that is no environment.
    """
    sites = places.package_folders(environment)
    settings = places.configuration(environment)
    configured = (environment / "pyvenv.cfg").is_file()
    python = places.find_python(environment)
    if not sites and not configured and python is None:
        there, shown = environment.is_dir(), shown or str(environment)
        raise UsageError(
            f"{shown} is not an environment" if there else f"there is no environment at {shown}",
            causes=("it has neither pyvenv.cfg nor site-packages" if there else "there is no such folder",),
            hints=("Build one: `gpuenv create`",),
        )
    marker, marker_problem = _marker(environment)
    kind: Kind = "conda" if (environment / "conda-meta").is_dir() else "system"
    if configured:
        kind = "gpuenv" if marker or marker_problem else "venv"
    site = sites[0] if sites else None
    version = places.python_version(environment) or places.version_of_folder(site)
    own = tuple(each for folder in sites for each in distributions(environment, folder, owned=configured, files=files))
    base = places.base_packages(settings, version)
    homeless = (configured or marker is not None) and not settings.get("home")
    return EnvironmentFacts(
        path=environment,
        kind=kind,
        python=python,
        python_version=version,
        base=settings.get("home", ""),
        sites=sites,
        system_site_packages=settings.get("include-system-site-packages", "false").lower() == "true",
        distributions=own,
        inherited=tuple(
            each for folder in base for each in distributions(environment, folder, owned=False, files=files)
        ),
        startup=tuple(each for folder in sites for each in startup_files(folder)),
        torch=read_torch(site) if site else None,
        marker=marker,
        marker_problem=marker_problem,
        problems=tuple(sorted(_problems(environment, python, site, own, homeless=homeless))),
        leftovers=_leftovers(environment),
    )


def _marker(environment: Path) -> tuple[Marker | None, str]:
    try:
        return read_marker(environment), ""
    except ConfigurationError as error:
        return None, f"its {MARKER} cannot be used ({'; '.join(error.causes)})"


def _problems(
    environment: Path, python: Path | None, site: Path | None, found: tuple[Distribution, ...], *, homeless: bool
) -> list[str]:
    problems = [f"{each.name} {each.version}: {each.problem}" for each in found if each.problem]
    if python is None:
        link = environment / "bin/python"
        aim = f": {link} leads to {link.readlink()}, which is not there" if link.is_symlink() else ""
        problems.append(f"its interpreter is gone{aim}")
    if homeless:  # PEP 405: without the key the interpreter is its base's
        problems.append("its pyvenv.cfg is gone or names no `home`: the interpreter does not find its packages")
    if site is None:
        problems.append("it has no site-packages folder")
    return problems


def _leftovers(environment: Path) -> tuple[Path, ...]:
    used = places.library_folder(environment)
    others = (each / "site-packages" for each in places.library_folders(environment) if each != used)
    return tuple(each for each in others if each.is_dir() and any(each.iterdir()))


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
