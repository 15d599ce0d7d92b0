"""Reads which GPUs the compiled extensions of an environment hold code for, a distribution at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gpuenv.installed.distribution import Distribution
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.installed.fatbin import DeviceCode, read_library

_LIBRARY = re.compile(r".+\.(so(\.[0-9]+)*|pyd|dll)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtensionCode:
    """The device code of one distribution, of all its libraries together.

    One library often serves one architecture (``flash_attn_3`` beside ``flash_attn_2``) or one CUDA (bitsandbytes has a
    library for each): what a GPU lacks is told by none of them alone.
    """

    name: str
    version: str
    sass: tuple[str, ...]
    ptx: tuple[str, ...]
    files: tuple[str, ...]
    """Libraries that hold device code, relative to the environment, sorted."""


Enough = Callable[[tuple[str, ...], tuple[str, ...]], bool]
"""Says of machine code and PTX that no more has to be known."""


def read_extensions(
    facts: EnvironmentFacts, *, skip: Callable[[str], bool], enough: Enough = lambda sass, ptx: False
) -> tuple[ExtensionCode, ...]:
    """Read the libraries that the distributions list, those aside whose name ``skip`` names.

    Of a library only its section table and the headers of its device code are touched, whatever its size, and none but
    the first of a distribution where that has ``enough``. A library that is missing or damaged holds nothing here: the
    comparison with RECORD speaks of it.
    """
    found = (_read(facts.path, each, enough) for each in facts.distributions if not skip(each.name))
    return tuple(each for each in found if each is not None)


def _read(environment: Path, distribution: Distribution, enough: Enough) -> ExtensionCode | None:
    sass: set[str] = set()
    ptx: set[str] = set()
    files = []
    for path, code in _codes(environment, distribution):
        sass.update(code.architectures)
        ptx.update(name for name, _ in code.ptx)
        files.append(path)
        if enough(_sorted(sass), _sorted(ptx)):
            break
    if not sass and not ptx:  # what a linker makes code of when it is needed is for any GPU
        return None
    return ExtensionCode(
        name=distribution.name,
        version=distribution.version,
        sass=_sorted(sass),
        ptx=_sorted(ptx),
        files=tuple(sorted(files)),
    )


def _codes(environment: Path, distribution: Distribution) -> Iterator[tuple[str, DeviceCode]]:
    """The libraries with device code, the smallest first."""
    paths = [row.path for row in distribution.rows if _LIBRARY.fullmatch(row.path.rpartition("/")[2])]
    for _, path in sorted((_size(environment / path), path) for path in paths):
        try:
            code = read_library(environment / path)
        except (OSError, ValueError):  # ValueError: a name with a NUL byte, and FatbinError
            continue
        if code.fatbins:
            yield path, code


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return 0


def _sorted(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names, key=lambda name: (int(name.rpartition("_")[2]), name)))
