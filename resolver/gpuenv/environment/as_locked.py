"""What one attempt of a build installed, compared with the wheels of its lock."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.records import check_records
from gpuenv.installed.compare import Compared, Difference, compare
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.environment import read_environment
from gpuenv.installed.files import Bare
from gpuenv.lock.model import Lock
from gpuenv.report import Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What was installed, and what came of the comparison: ``differences`` of files and of RECORDs."""

    tree: Compared
    distributions: tuple[Distribution, ...]
    differences: tuple[Difference, ...]
    project: str = ""
    """The name of the person's own project among the distributions."""


def compare_with_lock(
    environment: Path, lock: Lock, *, bare: Bare, state: Path, reporter: Reporter, fresh: Collection[str], deep: bool
) -> Filled:
    """Compare every file with the RECORDs, and these with what is remembered of the lock's wheels.

    ``bare`` is the environment before the installation, ``fresh`` are packages that uv has just fetched, ``deep``
    hashes every file.
    """
    found = read_environment(environment)
    versions = {package.name: package.version for package in lock.packages}
    family = {package.name for package in lock.family}
    tree = compare(found, expected=versions, family=family, bare=bare, deep=deep)
    wheels = {package.name: package.sha256 for package in lock.packages}
    differences = tree.differences or check_records(
        found.distributions, wheels, state=state, reporter=reporter, fresh=fresh
    )
    return Filled(tree=tree, distributions=found.distributions, differences=differences)
