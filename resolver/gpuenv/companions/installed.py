"""Reads the libraries of the distributions of an environment that exists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gpuenv.companions.library import RawLibrary, is_library, make_facts, read_raw
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.installed.fatbin import FatbinError, mapped
from gpuenv.model.library import PackageFacts


def read_installed(facts: EnvironmentFacts, *, skip: Callable[[str], bool]) -> tuple[PackageFacts, ...]:
    """The facts of every distribution whose RECORD lists libraries, those aside whose name ``skip`` names.

    Of a library only its tables and the headers of its device code are touched, whatever its size.
    """
    found = (read_distribution(facts.path, each) for each in facts.distributions if not skip(each.name))
    return tuple(each for each in found if not each.empty or each.unread)


def read_distribution(environment: Path, distribution: Distribution) -> PackageFacts:
    """The facts of one distribution. A library that is missing or damaged is among ``unread``."""
    raws: list[RawLibrary] = []
    unread = []
    for row in distribution.rows:
        if not is_library(row.path):
            continue
        try:
            with mapped(environment / row.path) as data:
                raws.append(read_raw(row.path, data))
        except (OSError, ValueError) as error:  # ValueError: a name with a NUL byte, and FatbinError
            reason = error if isinstance(error, FatbinError) else getattr(error, "strerror", None) or error
            unread.append(f"{row.path}: {reason}")
    return PackageFacts(
        project=distribution.name,
        version=distribution.version,
        libraries=make_facts(raws),
        unread=tuple(sorted(unread)),
        source="environment",
    )
