"""What is known of the code in a torch wheel, and whether it serves every GPU in scope."""

from __future__ import annotations

from dataclasses import replace
from functools import cmp_to_key
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge
from gpuenv.knowledge.rules import NoCode, Support, code_of, compare_versions
from gpuenv.model.decision import About, GpuSupport, Kernels
from gpuenv.model.machine import ComputeCapability, Gpu
from gpuenv.model.wheel import WheelContents
from gpuenv.select.candidates import Build, CatalogEntry, ReadContents
from gpuenv.select.rules import Problem, build_fits, check_driver
from gpuenv.select.target import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Code for every GPU in scope. ``entry`` has its variant, which may have been read out of the wheel."""

    entry: CatalogEntry
    gpus: tuple[GpuSupport, ...]
    kernels: Kernels | None
    warnings: tuple[str, ...] = ()
    doubtful: bool = False
    """Machine code is listed for a GPU, and perhaps of no use to it: the warnings say why."""

    @property
    def native(self) -> bool:
        """Machine code on all GPUs, none left to PTX."""
        return all(gpu.support == "native" for gpu in self.gpus)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The wheel has to be read before it can be checked."""

    entry: CatalogEntry
    about: About = "kernels"


Outcome = Served | Unknown | Refusal


def examine(problem: Problem, entry: CatalogEntry, facts: ReadContents) -> Outcome:
    """Say whether a torch wheel that passed the rules serves the machine, or that it has to be read first.

    What was read out of the wheel goes before the table. A folder of wheels is always read: a file there may be
    anybody's build, whatever its name says.
    """
    if problem.cpu and entry.build == "cpu":
        return Served(entry=entry, gpus=(), kernels=None)
    if problem.cpu and entry.build == "cuda":
        return Refusal("variant", f"a CUDA build ({entry.variant}); this decision is for the CPU")
    read = facts.kernels(entry)
    table = None if entry.wheel.source == "find-links" else problem.knowledge.contents(entry.wheel)
    contents = read or table
    if contents is None or (contents.cuda != "" and contents.sass is None):
        return _unknown(problem, entry)
    known = _with_build(problem, entry, contents)
    if isinstance(known, Refusal):
        return known
    if problem.cpu:
        return Served(entry=known, gpus=(), kernels=None)
    requires = facts.requires(entry)
    if contents.requires_dist is None and requires is not None:
        contents = replace(contents, requires_dist=requires)
    outcome = _serve(problem, known, contents, _disagreement(problem, entry, read))
    unread = read is not None and contents.requires_dist is None and _library_matters(problem, known)
    return Unknown(entry=known, about="metadata") if unread and isinstance(outcome, Served) else outcome


def _with_build(problem: Problem, entry: CatalogEntry, contents: WheelContents) -> CatalogEntry | Refusal:
    """The entry with the build that its contents tell, checked again by the rules that need it."""
    told = problem.knowledge.variant_of(contents.cuda or "")
    if entry.variant is not None and entry.variant != told and contents.cuda != "":
        told = entry.variant  # the folder's own name; a difference is reported beside
    build: Build = "cuda" if contents.cuda else "cpu"
    known = entry if (entry.variant, entry.build) == (told, build) else replace(entry, variant=told, build=build)
    refusal = build_fits(problem, known)
    if refusal is None and entry.variant is None and not problem.cpu:
        refusal = check_driver(problem, told).refusal
    return refusal or known


def _serve(
    problem: Problem, entry: CatalogEntry, contents: WheelContents, warnings: tuple[str, ...]
) -> Served | Refusal:
    served: list[GpuSupport] = []
    lost: dict[NoCode, list[int]] = {}
    said = list(warnings)
    doubtful = False
    for gpu in problem.gpus:
        answer = problem.knowledge.serve(
            entry.wheel, contents, gpu.compute_capability, driver_cuda=problem.driver_cuda, platform=problem.platform
        )
        match answer:
            case Support(support=support, by=by, warning=warning):
                served.append(_gpu_support(gpu, support, by))
                doubtful = doubtful or (support == "native" and bool(warning))
                if warning:
                    said.append(f"GPU {gpu.index} {gpu.name}: {warning}")
            case NoCode():
                lost.setdefault(answer, []).append(gpu.index)
    if lost:
        several = len(problem.gpus) > 1
        named = ((f"GPU {', '.join(map(str, each))}: " if several else "", lack) for lack, each in lost.items())
        return Refusal("kernels", codes=tuple(named))
    kernels = Kernels(
        sass=contents.sass or (),
        ptx=contents.ptx or (),
        origin="table" if contents.origin == "table" else "wheel",
        detail=contents.detail,
    )
    return Served(
        entry=entry, gpus=tuple(served), kernels=kernels, warnings=tuple(dict.fromkeys(said)), doubtful=doubtful
    )


def _gpu_support(gpu: Gpu, support: Literal["native", "ptx"], by: str) -> GpuSupport:
    return GpuSupport(index=gpu.index, name=gpu.name, compute_capability=gpu.compute_capability, support=support, by=by)


def insisted(problem: Problem, entry: CatalogEntry) -> Served:
    """Accept a wheel of unknown code because the user insists; ranked behind everything that is known."""
    gpus = tuple(_gpu_support(gpu, "ptx", "unknown") for gpu in problem.gpus)
    warning = "its code could not be established; it was accepted because you insisted"
    return Served(entry=entry, gpus=gpus, kernels=None, warnings=(warning,))


def _disagreement(problem: Problem, entry: CatalogEntry, read: WheelContents | None) -> tuple[str, ...]:
    """Table and wheel never disagree in silence."""
    found = problem.knowledge.compare(entry.wheel, read) if read is not None and read.cuda != "" else None
    if found is None:
        return ()
    return (f"{found.filename}: the tables of this gpuenv say otherwise ({'; '.join(found.differences)})",)


def _unknown(problem: Problem, entry: CatalogEntry) -> Unknown | Refusal:
    """Ask for the wheel, unless its CUDA alone rules it out: a toolkit cannot compile for a GPU it does not know."""
    cuda = problem.knowledge.cuda_of(entry.variant) if entry.variant else None
    for gpu in problem.gpus:
        first = first_cuda(problem.knowledge, gpu.compute_capability)
        if cuda and first and compare_versions(cuda, first) < 0:
            code = code_of(gpu.compute_capability)
            return Refusal("kernels", f"no code for {code}: CUDA {cuda} cannot compile it, CUDA {first} is the first")
    return Unknown(entry=entry)


def first_cuda(knowledge: Knowledge, capability: ComputeCapability) -> str | None:
    """The first toolkit whose machine code runs on a capability: its own, or that of an older minor."""
    firsts = (
        knowledge.first_cuda_for(ComputeCapability(capability.major, minor)) for minor in range(capability.minor + 1)
    )
    return min((first for first in firsts if first is not None), key=cmp_to_key(compare_versions), default=None)


def _library_matters(problem: Problem, entry: CatalogEntry) -> bool:
    """Whether a floor of a library in the wheel (cuDNN) could exclude a GPU, so that its pins must be known."""
    if entry.wheel.filename.endswith("win_amd64.whl"):
        return False  # there the library is inside the wheel, and no requirement tells its version
    floors = problem.knowledge.code_rules.cudnn
    return any(gpu.compute_capability < floor.capability for gpu in problem.gpus for floor in floors)
