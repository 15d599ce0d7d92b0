"""What a lock records of a project's requirements, read back: which packages have to be there, in which versions."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv.metadata import parse_requirement

_KINDS = ("constraint: ", "override: ", "python: ", "build: ", "source: ")


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
