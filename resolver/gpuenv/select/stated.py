"""What a project's lines ask of torch, judged for one machine by the tables: which release would run there instead."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from gpuenv.knowledge import Knowledge
from gpuenv.knowledge.facts import KernelRow
from gpuenv.knowledge.rules import NoCode
from gpuenv.model.asked import NamedBuild, Stated
from gpuenv.model.machine import Arch, Machine, Os


def why_not(row: KernelRow, machine: Machine, knowledge: Knowledge) -> str:
    """Why a build of torch runs on a machine with none or not all of its GPUs; empty where it does.

    ``machine`` holds the GPUs in scope alone. The order of the reasons is theirs in a decision: driver, then code.
    """
    floor = knowledge.floor_for(row.variant, machine)
    if floor is None or machine.driver is None:
        return "is built for CUDA, and this machine has no NVIDIA driver"
    if knowledge.driver_reach(machine, floor.minimum) is None:
        return f"needs driver {floor.minimum}, found {machine.driver.version} ({machine.driver.place})"
    for gpu in machine.gpus:
        answer = knowledge.serve_installed(
            gpu.compute_capability,
            machine=machine,
            sass=row.sass,
            ptx=row.ptx,
            cuda=knowledge.cuda_of(row.variant),
        )
        if isinstance(answer, NoCode):
            return f"has {answer.what}"
    return "" if machine.gpus else "is built for CUDA, and this machine has no NVIDIA GPU"


def judged(row: Stated, machine: Machine, knowledge: Knowledge) -> str:
    """Say what is wrong with a line on torch for a machine; empty where nothing is, or where the tables do not tell.

    The sentence names the nearest release that runs there: ``torch==2.0.1+cu118 has no code for sm_120; 2.7.0 is the
    first``.
    """
    return _judged(row.text, machine, knowledge)


@lru_cache(maxsize=256)
def _judged(text: str, machine: Machine, knowledge: Knowledge) -> str:
    requirement = Requirement(text)
    if canonicalize_name(requirement.name) != "torch" or not str(requirement.specifier):
        return ""
    if any(each.version.endswith("+cpu") for each in requirement.specifier) and machine.gpus:
        return f"{text} is a build for the CPU, and this machine has {', '.join(gpu.name for gpu in machine.gpus)}"
    rows = [each for each in _rows(machine, knowledge) if _meets(requirement.specifier, each)]
    reasons = [why_not(each, machine, knowledge) for each in rows]
    if not rows or not all(reasons):
        return ""
    lacks = [each for each in reasons if each.startswith("has ")]  # the driver can be renewed, the card cannot
    return f"{text} {(lacks or reasons)[-1]}{_nearest(rows, machine, knowledge)}"


def excluding(stated: Sequence[Stated], knowledge: Knowledge) -> tuple[Stated, Stated] | None:
    """Two lines on torch that no release meets together, though each is met by some; ``None`` where there are none."""
    builds = [f"{row.torch}+{row.variant}" for row in knowledge.kernels.values()]
    met: list[tuple[Stated, frozenset[str]]] = []
    for row in stated:
        requirement = Requirement(row.text)
        if canonicalize_name(requirement.name) == "torch" and str(requirement.specifier):
            met.append((row, frozenset(requirement.specifier.filter(builds, prereleases=True))))
    pairs = ((one, other) for place, one in enumerate(met) for other in met[place + 1 :])
    return next(((one[0], other[0]) for one, other in pairs if one[1] and other[1] and not one[1] & other[1]), None)


def refused_build(build: NamedBuild, machine: Machine, knowledge: Knowledge) -> str:
    """Why the build that a project names is not to be followed on a machine; empty where it may be."""
    if build.variant == "cpu":
        names = ", ".join(gpu.name for gpu in machine.gpus)
        return f"is a build for the CPU, and this machine has {names}" if machine.gpus else ""
    rows = [each for each in _rows(machine, knowledge) if each.variant == build.variant]
    reasons = [why_not(each, machine, knowledge) for each in rows]
    return reasons[-1] if reasons and all(reasons) else ""


def _rows(machine: Machine, knowledge: Knowledge) -> tuple[KernelRow, ...]:
    """The builds of the machine's platform, oldest first; stable releases only."""
    return _builds(knowledge, machine.os, machine.arch)


@lru_cache(maxsize=8)
def _builds(knowledge: Knowledge, os: Os, arch: Arch) -> tuple[KernelRow, ...]:
    try:
        platform = knowledge.platform_of(os, arch)
    except ValueError:
        return ()
    rows = (
        row
        for row in knowledge.kernels.values()
        if row.platform == platform and row.torch in knowledge.releases and knowledge.cuda_of(row.variant)
    )
    return tuple(sorted(rows, key=lambda row: (Version(row.torch), Version(knowledge.cuda_of(row.variant) or "0"))))


def _meets(specifier: SpecifierSet, row: KernelRow) -> bool:
    return specifier.contains(f"{row.torch}+{row.variant}", prereleases=True)


def _nearest(rows: Sequence[KernelRow], machine: Machine, knowledge: Knowledge) -> str:
    serving = [row for row in _rows(machine, knowledge) if not why_not(row, machine, knowledge)]
    versions = sorted({Version(row.torch) for row in serving})
    asked = Version(rows[-1].torch)
    if asked in versions:
        names = sorted({row.variant for row in serving if Version(row.torch) == asked})
        return f"; {asked} in {' or '.join(names)} has"
    above, below = [each for each in versions if each > asked], [each for each in versions if each < asked]
    if above:
        return f"; {above[0]} is the first"
    return f"; {below[-1]} is the last" if below else ""
