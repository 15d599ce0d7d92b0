"""Whether what is installed is what the installed packages ask for: all that ``uv pip check`` looks at; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.tags import InvalidTag, parse_tag
from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.lock.model import MachineTarget
from gpuenv.lock.target import marker_environment, target_tags
from gpuenv.metadata import applies, parse_range, parse_requirement, parse_version
from gpuenv.model.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmet:
    """A requirement of ``owner`` that is not met. ``found`` is ``None`` where nothing of the name is installed."""

    owner: str
    version: str
    requirement: Requirement
    found: str | None

    @property
    def name(self) -> str:
        """The normalized name that is asked for."""
        return canonicalize_name(self.requirement.name)

    def __str__(self) -> str:
        shown = f"{self.requirement.name}{self.requirement.specifier}"
        have = "which is missing" if self.found is None else f"and {self.found} is installed"
        return f"{self.owner} {self.version} asks for {shown}, {have}"


def unmet(facts: EnvironmentFacts, machine: Machine | None) -> tuple[Unmet, ...]:
    """Every requirement that does not hold, of the environment's own packages, in the order of their names.

    An extra counts where a package asks for it (``ray[default]``), as it did when it was installed.
    """
    versions = facts.versions
    environment = markers(facts, machine)
    extras: dict[str, set[str]] = {}
    found: dict[tuple[str, str], Unmet] = {}
    waiting = [(dist, "") for dist in facts.distributions]
    by_name = {dist.name: dist for dist in facts.distributions}
    while waiting:
        dist, extra = waiting.pop()
        for text in dist.requires:
            requirement = _applying(text, environment, extra)
            if requirement is None:
                continue
            name = canonicalize_name(requirement.name)
            for more in requirement.extras - extras.setdefault(name, set()):
                extras[name].add(more)
                if name in by_name:
                    waiting.append((by_name[name], more))
            if not _meets(versions.get(name), requirement):
                problem = Unmet(
                    owner=dist.name, version=dist.version, requirement=requirement, found=versions.get(name)
                )
                found.setdefault((dist.name, str(requirement)), problem)
    return tuple(sorted(found.values(), key=lambda each: (each.owner, str(each))))


def unfit(facts: EnvironmentFacts, machine: Machine | None) -> Iterator[str]:
    """Packages that were made for another Python or another platform, a sentence each."""
    version = facts.python_version
    tags = _tags(facts, machine)
    for dist in facts.distributions:
        if version and not _python_fits(dist, version):
            yield f"{dist.name} {dist.version} requires Python {dist.requires_python}, and this is Python {version}"
        elif tags and dist.tags and tags.isdisjoint(_parsed(dist.tags)):
            yield f"{dist.name} {dist.version} is a wheel for {', '.join(dist.tags[:2])}, which does not fit here"


def _parsed(texts: Iterable[str]) -> Iterator[object]:
    for text in texts:
        with suppress(InvalidTag):
            yield from parse_tag(text)


def markers(facts: EnvironmentFacts, machine: Machine | None) -> dict[str, str]:
    """The values of markers in an environment: its own Python, the machine it is for."""
    values = {key: str(value) for key, value in default_environment().items()}
    if machine is not None:
        values |= marker_environment(_target(machine, facts.python_version or values["python_full_version"]))
    elif facts.python_version:
        short = ".".join(facts.python_version.split(".")[:2])
        full = facts.python_version if facts.python_version.count(".") > 1 else f"{short}.0"
        values |= {"python_version": short, "python_full_version": full}
    return values


def _applying(text: str, environment: Mapping[str, str], extra: str) -> Requirement | None:
    """The requirement where it applies; with ``extra`` only where it is of that extra."""
    requirement = parse_requirement(text)
    if requirement is None or requirement.marker is None:
        return None if extra else requirement
    plain = applies(requirement, {**environment, "extra": ""})
    if not extra:
        return requirement if plain else None
    return requirement if not plain and applies(requirement, {**environment, "extra": extra}) else None


def _meets(version: str | None, requirement: Requirement) -> bool:
    found = parse_version(version) if version is not None else None
    return found is not None and requirement.specifier.contains(found, prereleases=True)


def _python_fits(dist: Distribution, version: str) -> bool:
    full = version if version.count(".") > 1 else f"{version}.99"  # the patch level is not known: the highest is taken
    wanted = parse_range(dist.requires_python)
    return wanted is None or wanted.contains(full, prereleases=True)


def _tags(facts: EnvironmentFacts, machine: Machine | None) -> frozenset[object]:
    """Tags that fit; empty where that cannot be said here (another libc, a free-threaded interpreter, conda)."""
    plain = facts.site is not None and not facts.site.parent.name.endswith("t") and facts.python_version
    known = machine is not None and (machine.os == "windows" or machine.libc_family == "glibc")
    if machine is None or not known or not plain or facts.kind not in ("gpuenv", "venv"):
        return frozenset()
    return frozenset(target_tags(_target(machine, facts.python_version)))


def _target(machine: Machine, python: str) -> MachineTarget:
    return MachineTarget(
        os=machine.os, arch=machine.arch, libc=machine.libc, python=python, compute_capabilities=(), driver=None
    )
