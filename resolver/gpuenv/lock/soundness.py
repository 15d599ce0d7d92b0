"""Whether a lock agrees with itself, however it was made: nothing but the lock, the profile and the tables is asked.

A lock is a text file that people edit and merge. Each rule here compares two things a lock says, so that an edit of
one of them is seen before anything is fetched: what was decided and what is listed, what is required and what is there,
whose name may come from where and where it would come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from gpuenv.dataclass import dataclass
from gpuenv.knowledge.base import Knowledge
from gpuenv.lock.making import host_name, is_known_file, profile_digest
from gpuenv.lock.model import Lock, LockedPackage, MachineTarget, filename_of
from gpuenv.lock.recorded import recorded_requirements
from gpuenv.lock.target import marker_environment
from gpuenv.metadata import applies, parse_requirement, parse_version
from gpuenv.model.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """One place where a lock contradicts itself. ``row`` is the place in the file: ``packages[3].version``."""

    row: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.row}: {self.sentence}"


def faults_of(lock: Lock, *, profile: Profile | None, knowledge: Knowledge) -> tuple[Contradiction, ...]:
    """Every contradiction, in the order of the rules; empty for a lock as gpuenv writes it.

    ``profile`` counts where the lock was made for what it says now; without one, what only the profile asks for cannot
    be told from what nobody asks for. A lock of an early gpuenv records neither hosts nor dependencies:
    :func:`is_complete` says so, and what it records is checked.
    """
    asked = _asked(profile, lock) if profile is not None else None
    found = [*_decision(lock), *(_of_profile(lock, profile, asked) if profile is not None else ())]
    for rule in (_names, partial(_marks, knowledge), partial(_hosts, lock, knowledge)):
        found += [fault for package in lock.packages for fault in rule(package)]
    found += [*_requirements(lock, asked or ()), *_dependencies(lock, asked)]
    return tuple(Contradiction(row=row, sentence=sentence) for row, sentence in found)


def is_complete(lock: Lock) -> bool:
    """Whether the lock records the hosts of its files and what each package needs."""
    return lock.inputs.family_hosts is not None


def _decision(lock: Lock) -> Iterator[tuple[str, str]]:
    decision = lock.decision
    decided = {"torch": decision.torch} | dict(text.split("==", 1) for text in decision.family if "==" in text)
    if decided["torch"] != decision.torch:
        yield "tool.gpuenv.decision.torch", f"is {decision.torch}, and decision.family says torch=={decided['torch']}"
    for name, version in decided.items():
        package = lock.by_name.get(name)
        if package is None:
            yield "packages", f"{name} {version} was decided, and no package has that name"
        elif package.version != version:
            yield _row(package, "version"), f"{name} is {package.version}, and {version} was decided"
    if (decision.variant == "cpu") != (decision.accelerator == "cpu"):
        yield "tool.gpuenv.decision.variant", f"is {decision.variant}, and the accelerator is {decision.accelerator}"
    local = decision.torch.partition("+")[2]
    if decision.source == "pytorch" and local and local != decision.variant:
        yield "tool.gpuenv.decision.variant", f"is {decision.variant}, and torch {decision.torch} is another build"
    if decision.source in ("pytorch", "mirror") and (decision.channel == "nightly") != (".dev" in decision.torch):
        yield "tool.gpuenv.decision.channel", f"is {decision.channel}, and torch {decision.torch} is of another channel"


def _of_profile(lock: Lock, profile: Profile, asked: Iterable[Requirement] | None) -> Iterator[tuple[str, str]]:
    """It is the lock of the profile it is used for, and what that asks for of the family was decided."""
    if lock.inputs.profile != profile.name:
        yield "tool.gpuenv.inputs.profile", f"is {lock.inputs.profile}, and the lock is used for {profile.name}"
    decided = {text.partition("==")[0] for text in lock.decision.family}
    for name in sorted({canonicalize_name(each.name) for each in asked or ()} - decided):
        if decided and name in lock.by_name and lock.by_name[name].family:
            yield "tool.gpuenv.decision.family", f"leaves out {name}, which the profile asks for"
    needed = (*profile.packages, *recorded_requirements(lock.inputs.requirements, lock.inputs.options))
    for requirement in _parsed(needed) if asked is not None else ():
        name = canonicalize_name(requirement.name)
        if name not in lock.by_name and _applies(requirement, lock.inputs.target):
            yield "packages", f"the profile or the project asks for {name}, and no package has that name"


def _names(package: LockedPackage) -> Iterator[tuple[str, str]]:
    try:
        name, version, _, _ = parse_wheel_filename(package.filename)
        stated = Version(package.version)
    except (InvalidWheelFilename, InvalidVersion) as error:
        yield _row(package, "wheels[0].name"), str(error)
        return
    if name != package.name:
        yield _row(package, "wheels[0].name"), f"{package.filename} is a wheel of {name}, not of {package.name}"
    elif version != stated:
        yield _row(package, "wheels[0].name"), f"{package.filename} is a wheel of {version}, not of {package.version}"
    if unquote(filename_of(package.location)) != unquote(package.filename):
        key = "url" if package.url is not None else "path"
        yield _row(package, f"wheels[0].{key}"), f"leads to {filename_of(package.location)}, not to {package.filename}"


def _marks(knowledge: Knowledge, package: LockedPackage) -> Iterator[tuple[str, str]]:
    belongs = package.name in knowledge.family
    if belongs and not package.family:
        sentence = f"{package.name} may come from torch's source only, and is not marked so"
        yield _row(package, "tool.gpuenv.family"), sentence
    elif package.family and not belongs:
        yield _row(package, "tool.gpuenv.family"), f"{package.name} is marked as released with torch, and is not"


def _hosts(lock: Lock, knowledge: Knowledge, package: LockedPackage) -> Iterator[tuple[str, str]]:
    decision, found = lock.decision, host_name(package)
    from_torch = package.family or decision.single_source
    if is_known_file(package, source=decision.source):
        return  # by its hash, wherever it lies
    if from_torch and package.source != decision.source:
        yield _row(package, "tool.gpuenv.source"), f"is {package.source}, and torch's source is {decision.source}"
    recorded = lock.inputs.family_hosts if from_torch else lock.inputs.package_hosts
    allowed = None if recorded is None else frozenset(recorded)
    if from_torch and decision.source == "pytorch":
        allowed = knowledge.pytorch_hosts
    if allowed is not None and found not in allowed:
        key = "url" if package.url is not None else "path"
        places = ", ".join(sorted(allowed)) or "nowhere"
        sentence = f"{package.name} would come from {found}; this lock takes it from {places}"
        yield _row(package, f"wheels[0].{key}"), sentence


def _asked(profile: Profile, lock: Lock) -> tuple[Requirement, ...] | None:
    """What the profile and the project required on the target; ``None`` where the lock was made for another profile."""
    if profile_digest(profile) != lock.inputs.profile_digest:
        return None
    stated = recorded_requirements(lock.inputs.requirements, lock.inputs.options)
    wanted = _parsed((*profile.packages, *profile.optional_packages, *stated))
    return tuple(each for each in wanted if _applies(each, lock.inputs.target))


def _requirements(lock: Lock, asked: Iterable[Requirement]) -> Iterator[tuple[str, str]]:
    have = lock.by_name
    for requirement in asked:
        package = have.get(canonicalize_name(requirement.name))
        # A version of the family was decided by rules of its own: a nightly meets a range from its release on.
        if package is not None and not package.family and not _meets(package, requirement):
            sentence = f"{package.version} is locked, and the profile or the project asks for {requirement}"
            yield _row(package, "version"), sentence
    for package in lock.packages:
        for requirement in _parsed(package.requires):
            if not _applies(requirement, lock.inputs.target):
                continue
            needed = have.get(canonicalize_name(requirement.name))
            needs = f"{package.name} {package.version} needs {requirement.name}{requirement.specifier}"
            if needed is None:
                yield _row(package, "tool.gpuenv.requires"), f"{needs}, which is not locked"
            elif not _meets(needed, requirement):
                yield _row(needed, "version"), f"{needs}, and {needed.version} is locked"


def _dependencies(lock: Lock, asked: tuple[Requirement, ...] | None) -> Iterator[tuple[str, str]]:
    """Everything named is there, and everything there is named by something that was asked for."""
    if not is_complete(lock):
        return
    have: Mapping[str, LockedPackage] = lock.by_name
    for package in lock.packages:
        if package.dependencies is None:
            yield _row(package, "dependencies"), f"is missing, and what {package.name} needs cannot be told"
        for name in package.dependencies or ():
            if name not in have:
                sentence = f"{package.name} {package.version} needs {name}, which is not locked"
                yield _row(package, "dependencies"), sentence
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
        sentence = f"neither profile, project nor a package of the lock asks for {name} {have[name].version}"
        yield _row(have[name], "name"), sentence


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
