"""Whether a lock agrees with itself, however it was made: nothing but the lock, the profile and the tables is asked.

A lock is a text file that people edit and merge. Each rule here compares two things a lock says, so that an edit of
one of them is seen before anything is fetched: what was decided and what is listed, what is required and what is there,
whose name may come from where and where it would come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from gpuenv.knowledge.base import Knowledge
from gpuenv.lock.making import host_name, profile_digest
from gpuenv.lock.model import Lock, LockedPackage, MachineTarget, filename_of
from gpuenv.lock.target import marker_environment
from gpuenv.metadata import applies, parse_requirement, parse_version
from gpuenv.model.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One place where a lock contradicts itself. ``row`` is the place in the file: ``packages[3].version``."""

    row: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.row}: {self.sentence}"


def faults_of(lock: Lock, *, profile: Profile | None, knowledge: Knowledge) -> tuple[Fault, ...]:
    """Every contradiction, in the order of the rules; empty for a lock as gpuenv writes it.

    ``profile`` counts where the lock was made for what it says now; without one, what only the profile asks for cannot
    be told from what nobody asks for. A lock of an early gpuenv records neither hosts nor dependencies:
    :func:`is_complete` says so, and what it records is checked.
    """
    asked = _asked(profile, lock) if profile is not None else None
    return (
        *_decision(lock),
        *(_of_profile(lock, profile, asked) if profile is not None else ()),
        *(fault for package in lock.packages for fault in _names(package)),
        *(fault for package in lock.packages for fault in _marks(package, knowledge)),
        *(fault for package in lock.packages for fault in _hosts(lock, package, knowledge)),
        *_requirements(lock, asked or ()),
        *_dependencies(lock, asked),
    )


def is_complete(lock: Lock) -> bool:
    """Whether the lock records the hosts of its files and what each package needs."""
    return lock.inputs.family_hosts is not None


def _decision(lock: Lock) -> Iterator[Fault]:
    decision = lock.decision
    decided = {"torch": decision.torch} | dict(text.split("==", 1) for text in decision.family if "==" in text)
    if decided["torch"] != decision.torch:
        said = f"is {decision.torch}, and decision.family says torch=={decided['torch']}"
        yield Fault(row="tool.gpuenv.decision.torch", sentence=said)
    for name, version in decided.items():
        package = lock.by_name.get(name)
        if package is None:
            yield Fault(row="packages", sentence=f"{name} {version} was decided, and no package has that name")
        elif package.version != version:
            said = f"{name} is {package.version}, and {version} was decided"
            yield Fault(row=_row(package, "version"), sentence=said)
    if (decision.variant == "cpu") != (decision.accelerator == "cpu"):
        said = f"is {decision.variant}, and the accelerator is {decision.accelerator}"
        yield Fault(row="tool.gpuenv.decision.variant", sentence=said)
    local = decision.torch.partition("+")[2]
    if decision.source == "pytorch" and local and local != decision.variant:
        said = f"is {decision.variant}, and torch {decision.torch} is another build"
        yield Fault(row="tool.gpuenv.decision.variant", sentence=said)

    if decision.source in ("pytorch", "mirror") and (decision.channel == "nightly") != (".dev" in decision.torch):
        said = f"is {decision.channel}, and torch {decision.torch} is of another channel"
        yield Fault(row="tool.gpuenv.decision.channel", sentence=said)


def _of_profile(lock: Lock, profile: Profile, asked: Iterable[Requirement] | None) -> Iterator[Fault]:
    """It is the lock of the profile it is used for, and what that asks for of the family was decided."""
    if lock.inputs.profile != profile.name:
        said = f"is {lock.inputs.profile}, and the lock is used for {profile.name}"
        yield Fault(row="tool.gpuenv.inputs.profile", sentence=said)
    decided = {text.partition("==")[0] for text in lock.decision.family}
    for name in sorted({canonicalize_name(each.name) for each in asked or ()} - decided):
        if decided and name in lock.by_name and lock.by_name[name].family:
            said = f"leaves out {name}, which the profile asks for"
            yield Fault(row="tool.gpuenv.decision.family", sentence=said)


def _names(package: LockedPackage) -> Iterator[Fault]:
    try:
        name, version, _, _ = parse_wheel_filename(package.filename)
        stated = Version(package.version)
    except (InvalidWheelFilename, InvalidVersion) as error:
        yield Fault(row=_row(package, "wheels[0].name"), sentence=str(error))
        return
    if name != package.name:
        said = f"{package.filename} is a wheel of {name}, not of {package.name}"
        yield Fault(row=_row(package, "wheels[0].name"), sentence=said)
    elif version != stated:
        said = f"{package.filename} is a wheel of {version}, not of {package.version}"
        yield Fault(row=_row(package, "wheels[0].name"), sentence=said)
    if unquote(filename_of(package.location)) != unquote(package.filename):
        key = "url" if package.url is not None else "path"
        said = f"leads to {filename_of(package.location)}, not to {package.filename}"
        yield Fault(row=_row(package, f"wheels[0].{key}"), sentence=said)


def _marks(package: LockedPackage, knowledge: Knowledge) -> Iterator[Fault]:
    belongs = package.name in knowledge.family
    if belongs and not package.family:
        said = f"{package.name} may come from torch's source only, and is not marked so"
        yield Fault(row=_row(package, "tool.gpuenv.family"), sentence=said)
    elif package.family and not belongs:
        said = f"{package.name} is marked as released with torch, and is not"
        yield Fault(row=_row(package, "tool.gpuenv.family"), sentence=said)


def _hosts(lock: Lock, package: LockedPackage, knowledge: Knowledge) -> Iterator[Fault]:
    decision, found = lock.decision, host_name(package)
    from_torch = package.family or decision.single_source
    if from_torch and package.source != decision.source:
        said = f"is {package.source}, and torch's source is {decision.source}"
        yield Fault(row=_row(package, "tool.gpuenv.source"), sentence=said)
    recorded = lock.inputs.family_hosts if from_torch else lock.inputs.package_hosts
    allowed = None if recorded is None else frozenset(recorded)
    if from_torch and decision.source == "pytorch":
        allowed = knowledge.pytorch_hosts
    if allowed is not None and found not in allowed:
        key = "url" if package.url is not None else "path"
        places = ", ".join(sorted(allowed)) or "nowhere"
        said = f"{package.name} would come from {found}; this lock takes it from {places}"
        yield Fault(row=_row(package, f"wheels[0].{key}"), sentence=said)


def _asked(profile: Profile, lock: Lock) -> tuple[Requirement, ...] | None:
    """What the profile requires on the target; ``None`` where the lock was made for something else."""
    if profile_digest(profile) != lock.inputs.profile_digest:
        return None
    wanted = _parsed((*profile.packages, *profile.optional_packages))
    return tuple(each for each in wanted if _applies(each, lock.inputs.target))


def _requirements(lock: Lock, asked: Iterable[Requirement]) -> Iterator[Fault]:
    have = lock.by_name
    for requirement in asked:
        package = have.get(canonicalize_name(requirement.name))
        # A version of the family was decided by rules of its own: a nightly answers a wish for the release it precedes.
        if package is not None and not package.family and not _meets(package, requirement):
            said = f"{package.version} is locked, and the profile asks for {requirement}"
            yield Fault(row=_row(package, "version"), sentence=said)
    for package in lock.packages:
        for requirement in _parsed(package.requires):
            if not _applies(requirement, lock.inputs.target):
                continue
            needed = have.get(canonicalize_name(requirement.name))
            needs = f"{package.name} {package.version} needs {requirement.name}{requirement.specifier}"
            if needed is None:
                yield Fault(row=_row(package, "tool.gpuenv.requires"), sentence=f"{needs}, which is not locked")
            elif not _meets(needed, requirement):
                yield Fault(row=_row(needed, "version"), sentence=f"{needs}, and {needed.version} is locked")


def _dependencies(lock: Lock, asked: tuple[Requirement, ...] | None) -> Iterator[Fault]:
    """Everything named is there, and everything there is named by something that was asked for."""
    if not is_complete(lock):
        return
    have: Mapping[str, LockedPackage] = lock.by_name
    for package in lock.packages:
        if package.dependencies is None:
            said = f"is missing, and what {package.name} needs cannot be told"
            yield Fault(row=_row(package, "dependencies"), sentence=said)
        for name in package.dependencies or ():
            if name not in have:
                said = f"{package.name} {package.version} needs {name}, which is not locked"
                yield Fault(row=_row(package, "dependencies"), sentence=said)
    if asked is None:
        return
    roots = {"torch", *(text.partition("==")[0] for text in lock.decision.family)}
    waiting = sorted(roots | {canonicalize_name(each.name) for each in asked})
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in have and name not in reached:
            reached.add(name)
            waiting += have[name].dependencies or ()
    for name in sorted(set(have) - reached):
        said = f"neither the profile nor a package of the lock asks for {name} {have[name].version}"
        yield Fault(row=_row(have[name], "name"), sentence=said)


def _row(package: LockedPackage, key: str) -> str:
    return f"packages[{package.row}].{key}" if package.row is not None else f"packages.{package.name}.{key}"


def _parsed(texts: Iterable[str]) -> list[Requirement]:
    """Requirements as far as PEP 508 reads them: METADATA of old wheels holds others."""
    return [found for text in texts if (found := parse_requirement(text)) is not None]


def _applies(requirement: Requirement, target: MachineTarget) -> bool:
    return applies(requirement, {**marker_environment(target), "extra": ""})


def _meets(package: LockedPackage, requirement: Requirement) -> bool:
    version = parse_version(package.version)
    return version is not None and requirement.specifier.contains(version, prereleases=True)
