"""Whether the companions of a lock run beside its torch: by the tables before it is written, by their own libraries
before the environment is used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpuenv import knowledge as tables
from gpuenv.companions.installed import read_installed
from gpuenv.errors import NoFittingWheelError
from gpuenv.installed.environment import read_environment
from gpuenv.knowledge import packages
from gpuenv.knowledge.companion_facts import facts_by_hash
from gpuenv.lock.model import Lock, LockedPackage
from gpuenv.model.library import PackageFacts
from gpuenv.report import Reporter
from gpuenv.select.beside import Fit, Unfit, beside
from gpuenv.select.companion_set import is_companion
from gpuenv.select.companion_verdict import Surroundings


def unfit_in(lock: Lock) -> tuple[tuple[LockedPackage, Unfit], ...]:
    """The packages with code for GPUs that the resolver took and that do not go with the lock's torch, as far as tables
    and names tell: what a package of the person's brought along is judged like those that they name."""
    return tuple(
        (package, fit)
        for package in _companions(lock)
        if isinstance(fit := _judged(lock, package, facts_by_hash(package.sha256)), Unfit)
    )


def refuse_unfit(lock: Lock, environment: Path, *, reporter: Reporter) -> None:
    """Read the libraries of the companions that were installed; raise for one that does not load or has no code.

    Raises :class:`~gpuenv.errors.NoFittingWheelError`: nothing of it is used, and what stood there stays.
    """
    locked = {package.name: package for package in _companions(lock)}
    if not locked:
        return
    facts = read_environment(environment)
    wrong: list[Unfit] = []
    for package in read_installed(facts, skip=lambda name: name not in locked):
        match _judged(lock, locked[package.project], package):
            case Unfit() as unfit:
                wrong.append(unfit)
            case Fit(support="ptx" | "idle") as fit:
                reporter.warn(f"{package.project} {fit.said}")
            case Fit():
                pass
    if wrong:
        profile = lock.inputs.profile
        raise NoFittingWheelError(
            f"{wrong[0].detail}: the environment was not put into its place",
            causes=tuple(each.detail for each in wrong[1:]),
            hints=(f"See what there is of it, and why not: `gpuenv resolve --profile {profile} --explain`",),
        )


def _companions(lock: Lock) -> Iterator[LockedPackage]:
    """Those of a lock for a GPU that are outside torch's family, or are built for torch within it."""
    knowledge = tables.load()
    for package in lock.packages if lock.decision.accelerator == "cuda" else ():
        if is_companion(package.name) or knowledge.role(package.name) == "extension":
            yield package


def _judged(lock: Lock, package: LockedPackage, facts: PackageFacts | None) -> Fit | Unfit:
    of_index = package.source == "package-index"
    around, knowledge = _surroundings(lock), tables.load()
    fit = beside(package.name, package.version, around, facts=facts, knowledge=knowledge, of_index=of_index)
    if isinstance(fit, Unfit) and fit.lacks == "cuda" and _has_its_own(lock, package):
        return Fit(support="unknown", said="uses a CUDA of its own")
    return fit


def _has_its_own(lock: Lock, package: LockedPackage) -> bool:
    """Whether a package that looks for a CUDA of its own gets the runtime of that from the lock too."""
    row, major = packages.gpu_package(package.name), packages.cuda_major(package.name, package.version)
    return row is not None and row.own and bool(set(packages.runtime_of(major or "")[:1]) & lock.by_name.keys())


def _surroundings(lock: Lock) -> Surroundings:
    target, knowledge = lock.inputs.target, tables.load()
    try:
        platform: str = knowledge.platform_of(target.os, target.arch)
    except ValueError:
        platform = f"{target.os}_{target.arch}"
    return Surroundings(
        torch=lock.decision.torch,
        cuda=knowledge.cuda_of(lock.decision.variant) or "",
        python=target.python.removesuffix("t"),
        capabilities=target.compute_capabilities,
        driver_cuda=None if target.driver is None else knowledge.driver_cuda(target.driver, target.os),
        platform=platform,
    )
