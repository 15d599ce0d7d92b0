"""What a person's project asks for beside the profile: requirements, each with the place where it was written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv.metadata import parse_requirement
from gpuenv.net.location import Location, redact

Role = Literal["requirement", "constraint", "override"]
"""``constraint``: counts for a package that something else needs (``-c``, ``constraint-dependencies``). ``override``:
takes the place of what packages say of theirs (``override-dependencies``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """One requirement as it was written. ``text`` is PEP 508; ``place`` is ``requirements.txt:3``, or the option."""

    text: str
    place: str
    role: Role = "requirement"
    hashes: tuple[str, ...] = ()
    """sha256 that its file has to have, where the line names any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBuild:
    """A build of torch that an index line or a source of a project names: ``cu118`` or ``cpu``."""

    variant: str
    place: str
    text: str
    """The address, or the source's table, as it may be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSource:
    """An index or a page of links that a project names for packages outside the family; ``packages`` are those that
    come from it and nowhere else, empty where it serves any."""

    address: Location
    place: str
    packages: tuple[str, ...] = ()
    links: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that was read of a project. Empty where there is none, or where it asks for nothing."""

    stated: tuple[Stated, ...] = ()
    pythons: tuple[Stated, ...] = ()
    """``requires-python`` of each file that has one: ``text`` is the range."""
    builds: tuple[NamedBuild, ...] = ()
    sources: tuple[NamedSource, ...] = ()
    files: tuple[str, ...] = ()
    """What was taken, as a person is told: ``pyproject.toml: 4 requirements, group train``."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""
    recorded: tuple[str, ...] = ()
    """What a lock records of it: everything that shapes a lock, no place, sorted; what ``--relax`` gives up as it
    stands in the files. Made where none is given."""

    def __post_init__(self) -> None:
        named = (f"{each.address} {' '.join(each.packages)}".strip() for each in self.sources)
        texts = ((each.role, redact(each.text)) for each in self.stated)
        lines = {
            *(text if role == "requirement" else f"{role}: {text}" for role, text in texts),
            *(f"python: {each.text}" for each in self.pythons),
            *(f"build: {each.variant}" for each in self.builds),
            *(f"source: {each}" for each in named),
        }
        object.__setattr__(self, "recorded", self.recorded or tuple(sorted(lines)))

    def texts(self, role: Role) -> tuple[str, ...]:
        """The requirements of one role, each once, sorted: no order of lines or files changes a lock."""
        return tuple(sorted({each.text for each in self.stated if each.role == role}))


def together(parts: Iterable[Asked]) -> Asked:
    """Join what several files and options ask for, in their order."""
    found = tuple(parts)
    return Asked(
        stated=tuple(row for each in found for row in each.stated),
        pythons=tuple(row for each in found for row in each.pythons),
        builds=tuple(row for each in found for row in each.builds),
        sources=tuple(row for each in found for row in each.sources),
        files=tuple(row for each in found for row in each.files),
        notes=tuple(row for each in found for row in each.notes),
    )


def recorded_requirements(lines: Iterable[str], options: Iterable[str] = ()) -> tuple[str, ...]:
    """Of what a lock records (:attr:`Asked.recorded`), the requirements that packages have to meet: in any version
    where the lock's ``options`` gave up the bound (``--relax vllm``)."""
    free = {canonicalize_name(each.partition(" ")[2]) for each in options if each.startswith("--relax ")}
    found = []
    for line in lines:
        requirement = None if line.startswith(_KINDS) else parse_requirement(line)
        if requirement is None:
            continue
        name = canonicalize_name(requirement.name)
        if "torch" in free and is_library(name):
            continue
        found.append(without_bound(requirement) if name in free else line)
    return tuple(found)


def without_bound(requirement: Requirement) -> str:
    """A requirement on any version of its package.

    >>> without_bound(Requirement("torch[opt-einsum]==2.0.1; python_version > '3.8'"))
    'torch[opt-einsum]; python_version > "3.8"'
    """
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    marker = f"; {requirement.marker}" if requirement.marker is not None else ""
    return f"{requirement.name}{extras}{marker}"


def is_library(name: str) -> bool:
    """Whether a package is one of CUDA's libraries that torch brings along, such as ``nvidia-cublas-cu12``."""
    return _LIBRARY.fullmatch(name) is not None


_LIBRARY = re.compile(
    r"nvidia-(?:cublas|cuda-[a-z]+|cudnn|cufft|cufile|curand|cusolver|cusparse|cusparselt|nccl|nvjitlink|nvshmem|nvtx)"
    r"(?:-cu\d{2})?"
)
_KINDS = ("constraint: ", "override: ", "python: ", "build: ", "source: ")
