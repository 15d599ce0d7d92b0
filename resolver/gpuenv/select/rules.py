"""The rules that check a wheel by itself: names, dates, channel, build and driver, before anything is read from it.

``RULES`` is the order in which they speak; the first that refuses gives the wheel its verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import DriverFloor, Knowledge
from gpuenv.knowledge.rules import compare_versions
from gpuenv.metadata import parse_range
from gpuenv.model.machine import Gpu, Machine
from gpuenv.model.profile import ChannelChoice, Profile
from gpuenv.select.candidates import CatalogEntry, nightly_day
from gpuenv.select.request import Constraints, Request
from gpuenv.select.target import Refusal, TargetTags


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverVerdict:
    """Whether the machine's driver runs a variant. ``full``: it knows the variant's own CUDA."""

    floor: DriverFloor | None
    full: bool
    refusal: Refusal | None
    by_branch: bool = False
    """The driver's number does not reach the floor, and its branch does (``gpuenv.knowledge.drivers.reaches``)."""


@dataclass(slots=True, kw_only=True)
class Problem:
    """What is to be decided: the arguments, and what follows from them alone."""

    machine: Machine
    profile: Profile
    request: Request
    constraints: Constraints
    knowledge: Knowledge
    target: TargetTags
    gpus: tuple[Gpu, ...]
    cpu: bool
    channel: ChannelChoice
    variant: str | None
    driver_cuda: str | None
    """The newest CUDA the driver knows, as read or by table."""
    unanswered: Mapping[str, str]
    """Questions that could not be answered: reason by URL of the wheel."""
    drivers: dict[str, DriverVerdict] = field(default_factory=dict)
    versions: dict[tuple[str, str, str], Refusal | None] = field(default_factory=dict)
    pins: dict[tuple[tuple[str, ...], str], tuple[SpecifierSet, ...]] = field(default_factory=dict)
    unasked: dict[tuple[tuple[Gpu, ...], str], Problem] = field(default_factory=dict)
    """The same for some GPUs on a driver that knows a CUDA, whatever variant was asked for."""

    @property
    def platform(self) -> str:
        """The tables' name of the machine's platform; a made-up one where torch is not built for it."""
        try:
            return self.knowledge.platform_of(self.machine.os, self.machine.arch)
        except ValueError:
            return f"{self.machine.os}_{self.machine.arch}"


Rule = Callable[[Problem, CatalogEntry], Refusal | CatalogEntry | None]
"""Refuses the entry, or hands on a better-known one, or has nothing to say."""


def requested(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """Only the projects of the family that the profile names are decided here."""
    project = entry.wheel.project
    if project in problem.constraints.versions:
        return None
    if project in problem.knowledge.family:
        return Refusal("excluded", "not asked for by itself; what torch requires of it is settled when locking")
    return Refusal("excluded", "not of the family of torch; PyPI decides it when locking")


def not_excluded(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """``--exclude``: versions that may not be chosen."""
    for text in problem.request.exclude:
        requirement = Requirement(text)
        same = requirement.name.lower().replace("_", "-") == entry.wheel.project
        if same and requirement.specifier.contains(entry.version, prereleases=True):
            return Refusal("excluded", f"excluded by {text}")
    return None


def platform_fits(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """The platform tag must be the machine's (PEP 425, PEP 600), and the libc new enough."""
    return problem.target.refuses_platform(entry.tags.platform)


def python_fits(problem: Problem, entry: CatalogEntry) -> Refusal | CatalogEntry:
    """Python and ABI tag, and Requires-Python where the index gives it, must suit an interpreter that can be had."""
    found = problem.target.accepts_pythons(entry.tags.python, entry.tags.abi)
    if isinstance(found, Refusal):
        return found
    required = entry.wheel.requires_python
    if required:
        # The patch level is not known here; the highest is taken, so that ">=3.9.2" does not refuse 3.9.
        specifier = parse_range(required)
        if specifier is None:
            return Refusal("python", f"requires a Python that cannot be read: {required}")
        found = tuple(each for each in found if specifier.contains(f"{each.removesuffix('t')}.99", prereleases=True))
        if not found:
            return Refusal("python", f"requires Python {required}")
    return replace(entry, pythons=found)


def not_yanked(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """A yanked file is ignored unless a specifier pins exactly this version (PEP 592)."""
    if entry.wheel.yanked is None:
        return None
    for specifier in (each for specifiers in problem.constraints.versions[entry.wheel.project] for each in specifiers):
        if specifier.operator in ("==", "===") and not specifier.version.endswith(".*"):
            return None
    return Refusal("yanked", entry.wheel.yanked or "yanked, without a reason given")


def channel_fits(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """Stable pages for ``stable``, nightly pages for ``nightly``, both for ``auto``; test builds never."""
    channel = entry.wheel.channel
    if channel == "test":
        return Refusal("channel", "a release candidate of the test channel")
    if problem.channel == "auto" or channel == problem.channel:
        return None
    if problem.channel == "nightly" and entry.wheel.source == "find-links" and entry.version.is_devrelease:
        return None  # a folder has no channels; a nightly in it is told by its version
    return Refusal("channel", f"{channel}; the {problem.channel} channel was asked for")


def version_fits(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """Version specifiers of profile and request (PEP 440); pre-releases only where pinned or of the nightly channel."""
    key = (entry.wheel.project, entry.wheel.version, entry.wheel.channel)
    if key not in problem.versions:
        problem.versions[key] = _refuses_version(problem, entry)
    return problem.versions[key]


def _refuses_version(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    nightly = entry.wheel.channel == "nightly" or problem.channel == "nightly"
    sets = problem.constraints.versions[entry.wheel.project]
    for specifiers in sets:
        if not specifiers.contains(entry.version, prereleases=True):
            return Refusal("version", f"{specifiers} was asked for")
    if entry.version.is_prerelease and not nightly and not any(specifiers.prereleases for specifiers in sets):
        return Refusal("version", "a pre-release, and none was asked for")
    return None


def old_enough(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """``--exclude-newer``: what was uploaded later does not exist; what gives no time is unknown, so refused too."""
    cutoff = problem.request.exclude_newer
    if cutoff is None:
        return None
    stamp = entry.wheel.upload_time
    day = nightly_day(entry.wheel.version)
    if day is not None:
        # The upload time is that of the last copy, not of the build; the day in the version does not move.
        stamp = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    if stamp is None:
        unknown = Refusal("too-new", f"the index gives no upload time to compare with {cutoff}")
        return None if problem.request.insist_unknown else unknown
    if moment(stamp, end=False) <= moment(cutoff, end=True):
        return None
    return Refusal("too-new", f"of {stamp}, after {cutoff}")


def hash_given(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """Only on demand: nightlies never carry a hash, and are locked by their first download."""
    if problem.request.require_hash and entry.wheel.sha256 is None:
        return Refusal("hash", "the index gives no sha256")
    return None


def build_fits(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """CUDA for GPUs, CPU for none, never one for the other; the variant asked for, where one was."""
    if entry.build == "other":
        return Refusal("variant", f"a {entry.variant} build: gpuenv decides between CUDA variants and cpu")
    if entry.build == "unknown":
        return None
    decided = "cpu" if problem.cpu else "cuda"
    if entry.build != decided:
        detail = f"a CUDA build ({entry.variant})" if problem.cpu else "a CPU build"
        return Refusal("variant", f"{detail}; this decision is for {'the CPU' if problem.cpu else 'a GPU'}")
    if problem.variant is not None and entry.variant != problem.variant:
        return Refusal("variant", f"{problem.variant} was asked for")
    return None


def driver_runs(problem: Problem, entry: CatalogEntry) -> Refusal | None:
    """The driver must reach the minimum of the variant's CUDA (NVIDIA CUDA Compatibility, minor-version)."""
    if problem.cpu or entry.variant is None:
        return None
    return check_driver(problem, entry.variant).refusal


RULES: dict[str, Rule] = {
    "requested": requested,
    "platform": platform_fits,
    "python": python_fits,
    "excluded": not_excluded,
    "yanked": not_yanked,
    "channel": channel_fits,
    "version": version_fits,
    "too-new": old_enough,
    "hash": hash_given,
    "build": build_fits,
    "driver": driver_runs,
}
"""The rules by name, in the order they speak. Cheap and common refusals come first: a page holds 12,000 wheels."""


def check(problem: Problem, entry: CatalogEntry) -> Refusal | CatalogEntry:
    """Check a wheel by every rule: the first refusal, or the wheel with the interpreters it runs on."""
    for rule in RULES.values():
        said = rule(problem, entry)
        if isinstance(said, Refusal):
            return said
        entry = said or entry
    return entry


def check_driver(problem: Problem, variant: str) -> DriverVerdict:
    """Compare the machine's driver with what a variant needs. Remembered by variant."""
    if variant not in problem.drivers:
        problem.drivers[variant] = _driver_verdict(problem, variant)
    return problem.drivers[variant]


def _driver_verdict(problem: Problem, variant: str) -> DriverVerdict:
    driver = problem.machine.driver
    cuda = problem.knowledge.cuda_of(variant)
    floor = problem.knowledge.floor_for(variant, problem.machine)
    if floor is None:
        refusal = Refusal("driver", f"no table and no rule tells which driver CUDA {cuda} needs")
        return DriverVerdict(floor=None, full=False, refusal=refusal)
    needs = f"needs driver {floor.minimum}"
    if driver is None:
        refusal = Refusal("driver", needs, floor.source, "the driver here is not known")
        return DriverVerdict(floor=floor, full=False, refusal=None if problem.request.insist_unknown else refusal)
    reach = problem.knowledge.driver_reach(problem.machine, floor.minimum)
    if reach is None:
        refusal = Refusal("driver", needs, floor.source, f"found {driver.version} ({driver.place})")
        return DriverVerdict(floor=floor, full=False, refusal=refusal)
    full = cuda is not None and problem.driver_cuda is not None and compare_versions(problem.driver_cuda, cuda) >= 0
    return DriverVerdict(floor=floor, full=full, refusal=None, by_branch=reach == "branch")


def moment(text: str, *, end: bool) -> datetime:
    """A date or RFC 3339 time as a moment; a bare date means its end when it is a limit, else its start."""
    value = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if len(text) == len("2026-01-02"):
        value = value.replace(hour=23, minute=59, second=59) if end else value
    return value if value.tzinfo else value.replace(tzinfo=UTC)
