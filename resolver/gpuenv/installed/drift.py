"""Who changed what in an environment since it was built, and what building it again would take away."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.installed import places
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.installed.marker import Marker, digest
from gpuenv.lock.diff import same_version

ChangeKind = Literal["added", "removed", "changed", "replaced", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChange:
    """One package that is not as it was built, or not as it is locked.

    ``replaced`` is the same version with other contents. ``by`` says who did it as far as it left a trace
    (``pip, from file:///…``), ``when`` is empty for a package that is gone.
    """

    name: str
    kind: ChangeKind
    expected: str | None
    found: str | None
    family: bool
    by: str = ""
    when: str = ""
    detail: str = ""


def drift(
    facts: EnvironmentFacts, *, expected: Mapping[str, str] | None = None, family: Collection[str] = ()
) -> tuple[PackageChange, ...]:
    """Compare what is installed with a set of packages: those of a lock (``expected``), else those it was built with.

    ``expected`` maps normalized names to versions. By the environment's own marker a package that was replaced by
    another build of the same version is seen too. Sorted: the family first, then by name.
    """
    built = {each.name: each for each in facts.marker.packages} if facts.marker else {}
    own = facts.marker.projects if facts.marker else {}
    wanted = {**expected, **own} if expected is not None else {name: each.version for name, each in built.items()}
    guarded = {*family, *(name for name, each in built.items() if each.family)}
    have = {each.name: each for each in facts.distributions}
    changes = []
    for name in wanted.keys() | have.keys():
        seen, before = have.get(name), built.get(name)
        record = before.record if before and before.version == wanted.get(name) else ""
        change = _change(name, wanted.get(name), seen, record=record, family=name in guarded)
        if change is not None:
            changes.append(change)
    return tuple(sorted(changes, key=lambda each: (not each.family, each.name)))


def added(facts: EnvironmentFacts, *, locked: Collection[str] = ()) -> tuple[Distribution, ...]:
    """What somebody put into an environment of ours, and building it again would take away, by name.

    ``locked`` are names that the new environment will hold. Empty for an environment that gpuenv did not build.
    """
    if facts.marker is None:
        return ()
    kept = {*locked, *(each.name for each in facts.marker.packages)}
    return tuple(each for each in facts.distributions if each.name not in kept)


def moved_family(environment: Path, marker: Marker) -> tuple[str, ...]:
    """What of the family is not as it was built, a sentence each. Reads the family's RECORDs and nothing else."""
    wanted = {each.name: each for each in marker.packages if each.family}
    seen: dict[str, list[Path]] = {}
    for site in places.package_folders(environment):
        for info in site.glob("*.dist-info"):
            seen.setdefault(canonicalize_name(info.name.partition("-")[0]), []).append(info)
    moved = []
    for name, built in sorted(wanted.items(), key=lambda each: (each[0] != "torch", each[0])):
        found = seen.get(name, [])
        versions = [each.name.removesuffix(".dist-info").partition("-")[2] for each in found]
        if not found:
            moved.append(f"{name} {built.version} was removed")
        elif len(found) > 1:
            moved.append(f"{name} is there {len(found)} times: {', '.join(sorted(versions))}")
        elif not same_version(versions[0].replace("_", "+"), built.version):
            moved.append(f"{name} {built.version} became {versions[0]}")
        elif _digest(found[0] / "RECORD") != built.record:
            moved.append(f"{name} {built.version} was replaced by another build")
    return tuple(moved)


def _digest(path: Path) -> str:
    try:
        return digest(path)
    except OSError:
        return ""


def _change(
    name: str, wanted: str | None, seen: Distribution | None, *, record: str, family: bool
) -> PackageChange | None:
    if seen is None:
        return PackageChange(name=name, kind="removed", expected=wanted, found=None, family=family)
    kind: ChangeKind
    detail = ""
    if seen.problem:
        kind, detail = "broken", seen.problem
    elif wanted is None:
        kind = "added"
    elif not same_version(wanted, seen.version):
        kind = "changed"
    elif record and record != seen.record:
        kind, detail = "replaced", "the same version with other contents"
    else:
        return None
    by = f"{seen.installer or 'an unknown installer'}{f', from {seen.origin}' if seen.origin else ''}"
    return PackageChange(
        name=name, kind=kind, expected=wanted, found=seen.version, family=family, by=by, when=seen.when, detail=detail
    )
