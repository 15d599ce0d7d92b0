"""Everything an environment holds, from the family that was decided.

The family's files are decided; uv is only asked what else they need. It gets a stub for each of them: a wheel of the
same name, version and requirements without the code, by its path. So uv weighs their requirements as if it had read
the real files, needs no connection to where those are, and never looks a name of the family up anywhere. Family names
nobody decided on get a placeholder, by an override, that shows up in uv's answer when something may need the name; it
is then looked for on the torch source, and uv is asked again, until nothing is missing. What comes out is audited.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from packaging.utils import canonicalize_name

from gpuenv import knowledge
from gpuenv.dataclass import dataclass
from gpuenv.environment.compiling import (
    Indexes,
    NamedIndex,
    Picked,
    Resolver,
    compile_dependencies,
    read_needs,
)
from gpuenv.environment.packages import Hashed, check_unchanged, family_package, other_package
from gpuenv.environment.single_source import PLACEHOLDER_VERSION, SingleSourceIndex, choose_rows, write_stub
from gpuenv.errors import IndexUnreachableError, NoFittingWheelError, UsageError, UvError
from gpuenv.lock.audit import audit
from gpuenv.lock.model import Lock, LockedPackage, MachineTarget
from gpuenv.lock.target import marker_environment
from gpuenv.metadata import applies, parse_requirement
from gpuenv.model.decision import Decision
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.system.files import scratch

_MOST_ROUNDS = 12


class FamilyGapError(NoFittingWheelError):
    """A name that only the torch source may serve is needed, and the torch source does not have it for this torch."""

    def __init__(self, message: str, *, name: str, causes: Sequence[str] = (), hints: Sequence[str] = ()) -> None:
        super().__init__(message, causes=causes, hints=hints)
        self.name = name


class TorchSource(Protocol):
    """The torch source, as far as a lock has to ask it more than the decision did."""

    def find(self, name: str, requirement: str) -> Wheel | None:
        """The wheel of the decision's variant and channel that meets ``requirement``, ``None`` where it has none."""

    def contents(self, wheel: Wheel) -> WheelContents | None:
        """METADATA of a wheel (``requires_dist``, ``requires_python``), ``None`` where it cannot be read."""

    def listed(self, name: str) -> Sequence[Wheel]:
        """Every row of a project, for a lock from a single source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyRequest:
    """What is to be closed over."""

    decision: Decision
    target: MachineTarget
    reach: MachineTarget | None = None
    """The target with a libc that packages outside the family may ask for; ``None``: the target's own. A wheel that the
    target itself can use comes before one that only this can."""
    family: frozenset[str]
    """Names that only the torch source may serve, whatever else lists them."""
    requirements: tuple[str, ...] = ()
    """The packages of profile and project as written: extras of the family are taken from here."""
    constraints: tuple[str, ...] = ()
    """Of the project, on packages outside the family."""
    overrides: tuple[str, ...] = ()
    """Of the project, on packages outside the family: in place of what packages say of theirs."""
    indexes: Indexes = field(default_factory=Indexes)
    bound: tuple[NamedIndex, ...] = ()
    """Indexes that serve certain packages and nothing else."""
    exclude_newer: str | None = None
    previous: Lock | None = None
    """An existing lock: its hashes must not have changed."""
    preferred: Lock | None = None
    """A lock whose versions are kept where they fit; ``None`` lets every version move."""
    single_source: bool = False
    torch_hosts: frozenset[str] = field(default_factory=lambda: knowledge.load().pytorch_hosts)
    """Hosts (with port where one is given) that serve nothing but the torch index. The caller adds a mirror's."""


@dataclass(slots=True)
class _Family:
    """The members found so far; grows while uv's answers name new ones."""

    wheels: dict[str, Wheel] = field(default_factory=dict)
    contents: dict[str, WheelContents] = field(default_factory=dict)
    extras: dict[str, set[str]] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)
    """Names that a member needs on other machines than the target, and nobody was seen to need on this one."""
    absent: set[str] = field(default_factory=set)
    """Names that were looked for in vain."""


def resolve_dependencies(
    request: DependencyRequest, *, source: TorchSource, hash_of: Callable[[Wheel], Hashed], resolver: Resolver
) -> tuple[LockedPackage, ...]:
    """Close the decision's family over its requirements, for the target.

    ``hash_of`` is asked for wheels whose row has no hash, and only for those that no earlier lock knows.

    Raises :class:`FamilyGapError` where a member of the family is missing, its base where one does not fit the others,
    :class:`~gpuenv.errors.IntegrityError` where a row's hash changed or a file would come from the wrong place, and
    what uv's failures translate to.
    """
    family = _decided(request)
    for name in list(family.wheels):
        _grow(request, family, name, source)
    with ExitStack() as stack:
        folder = stack.enter_context(scratch("dependencies"))
        index = None
        if request.single_source:
            choose = partial(
                choose_rows,
                hosts=request.torch_hosts,
                variant=request.decision.variant,
                cutoff=request.exclude_newer,
            )
            index = SingleSourceIndex(listed=lambda name: choose(source.listed(name)), contents=source.contents)
            stack.enter_context(index)
            resolver = index.confine(resolver, folder / "cache")
        picked = _iterate(request, family, source, resolver, folder, index)
        needs = read_needs(
            resolver,
            folder,
            tuple(picked.values()),
            target=request.reach or request.target,
            indexes=request.indexes if index is None else index.indexes,
            exclude_newer=None if index is not None else request.exclude_newer,
            bound=bool(request.bound),
        )
    packages = [
        family_package(family.wheels[name], family.contents[name], previous=request.previous, hash_of=hash_of)
        for name in sorted(family.wheels)
        if name in picked
    ]
    own = {
        canonicalize_name(named.name): named
        for text in request.decision.others
        if (named := parse_requirement(text)) is not None and named.url is not None
    }
    packages += [
        other_package(each, own.get(canonicalize_name(each.name)), index, hash_of)
        for each in picked.values()
        if each.name not in family.wheels
    ]
    packages = [replace(package, dependencies=needs[package.name]) for package in packages]
    for package in packages:
        check_unchanged(package, request.previous)
    of_torch_alone = request.single_source or request.decision.source in ("pytorch", "mirror")
    exclusive = request.torch_hosts if of_torch_alone else frozenset()
    audit(
        packages,
        family=request.family | set(family.wheels),
        torch_rows=family.wheels,
        torch_hosts=exclusive,
        single_source=request.single_source,
    )
    return tuple(sorted(packages, key=lambda package: package.name))


def _decided(request: DependencyRequest) -> _Family:
    family = _Family(wheels={wheel.project: wheel for wheel in request.decision.packages})
    for text in request.requirements:
        requirement = parse_requirement(text)
        if requirement is not None:
            family.extras.setdefault(canonicalize_name(requirement.name), set()).update(requirement.extras)
    return family


def _grow(request: DependencyRequest, family: _Family, name: str, source: TorchSource) -> None:
    """Read what a member requires of the family, and find the members that are missing."""
    wheel = family.wheels[name]
    family.contents[name] = contents = _contents(request, wheel, source)
    for text in contents.requires_dist or ():
        requirement = parse_requirement(text)
        needed = canonicalize_name(requirement.name) if requirement is not None else ""
        if requirement is None or needed not in request.family:
            continue
        if requirement.marker is not None and not any(
            applies(requirement, {**marker_environment(request.target), "extra": extra})
            for extra in sorted({"", *family.extras.get(name, ())})
        ):
            family.elsewhere.add(needed)
            continue
        held = family.wheels.get(needed)
        if held is not None and not requirement.specifier.contains(held.version, prereleases=True):
            raise NoFittingWheelError(
                f"{wheel.project} {wheel.version} needs {requirement.name}{requirement.specifier}, "
                f"and {held.version} was decided",
                hints=("gpuenv resolve --explain",),
            )
        if held is None:
            wanted = f"{requirement.name}{requirement.specifier}"
            found = source.find(needed, wanted)
            if found is None:
                raise _lacking(request, f"{wheel.project} {wheel.version} needs {wanted}", needed)
            family.wheels[needed] = found
            _grow(request, family, needed, source)


def _contents(request: DependencyRequest, wheel: Wheel, source: TorchSource) -> WheelContents:
    contents = source.contents(wheel)
    if contents is not None and contents.requires_dist is not None:
        return contents
    known = dict(request.decision.requires).get(wheel.project)
    if known is not None:
        return WheelContents(requires_dist=known, requires_python=wheel.requires_python, origin="table")
    raise NoFittingWheelError(
        f"what {wheel.filename} requires cannot be read, so nothing can be locked with it",
        causes=(f"its METADATA is neither beside it nor readable at {wheel.url}",),
        hints=("Check the connection, then run the same command again",),
    )


def _lacking(request: DependencyRequest, need: str, name: str, causes: Sequence[str] = ()) -> FamilyGapError:
    decision = request.decision
    return FamilyGapError(
        f"{need}, which the torch source does not have for {decision.variant} and Python {decision.python}",
        name=name,
        causes=(*causes, f"{name} may come from the torch source only: elsewhere anybody may own the name"),
        hints=("gpuenv resolve --explain",),
    )


def _iterate(
    request: DependencyRequest,
    family: _Family,
    source: TorchSource,
    resolver: Resolver,
    folder: Path,
    index: SingleSourceIndex | None,
) -> dict[str, Picked]:
    """Ask uv until its answer holds no placeholder.

    An override reaches every requirement on a name whatever its version or marker says: it finds names, but also those
    that only other machines need. So a name that was found, or looked for in vain, is constrained instead, which leaves
    versions and markers in force.
    """
    for _ in range(_MOST_ROUNDS):
        try:
            picked = _compile(request, family, resolver, folder, index)
        except (UvError, IndexUnreachableError) as error:
            if index is not None and index.forget_unreadable():
                continue
            # Nobody was seen to need these, but uv, shown only a placeholder, found no way without them.
            hidden = sorted(family.elsewhere - family.absent - set(family.wheels))
            if hidden and isinstance(error, UvError):
                _look_for(request, family, hidden, source)
                continue
            said = " ".join(error.causes)
            blamed = sorted(name for name in family.absent if re.search(rf"(?<![\w-]){name}[<>=]", said))
            if blamed:
                raise _lacking(request, f"a package needs {blamed[0]}", blamed[0], error.causes) from None
            raise
        missing = sorted(name for name in picked if name in request.family and name not in family.wheels)
        if not missing:
            return picked
        if set(missing) <= family.absent:
            raise _lacking(request, f"a package needs {missing[0]}", missing[0])
        _look_for(request, family, missing, source)
    raise UvError(f"the packages needed did not settle within {_MOST_ROUNDS} resolutions")


def _look_for(request: DependencyRequest, family: _Family, names: Sequence[str], source: TorchSource) -> None:
    for name in names:
        if name in family.wheels:
            continue
        found = source.find(name, name)
        if found is None:
            family.absent.add(name)
        else:
            family.wheels[name] = found
            _grow(request, family, name, source)


def _compile(
    request: DependencyRequest, family: _Family, resolver: Resolver, folder: Path, index: SingleSourceIndex | None
) -> dict[str, Picked]:
    stubs = folder / "stubs"
    stubs.mkdir(exist_ok=True)
    decided = sorted(wheel.project for wheel in request.decision.packages)
    found = sorted(set(family.wheels) - set(decided))
    absent = sorted((family.absent | family.elsewhere) - set(family.wheels))
    unknown = sorted(request.family - set(family.wheels) - set(absent))
    picked = compile_dependencies(
        resolver,
        folder,
        requirements=[_stub_line(family, name, stubs) for name in decided] + _others(request),
        constraints=[_stub_line(family, name, stubs) for name in found]
        + [_placeholder(name, stubs) for name in absent]
        + list(request.constraints),
        overrides=[*(_placeholder(name, stubs) for name in unknown), *request.overrides],
        bound=request.bound,
        target=request.target,
        reach=request.reach,
        indexes=request.indexes if index is None else index.indexes,
        exclude_newer=None if index is not None else request.exclude_newer,
        preferred=request.preferred,
    )
    return {each.name: each for each in picked}


def _placeholder(name: str, stubs: Path) -> str:
    return f"{name} @ {write_stub(stubs, name, PLACEHOLDER_VERSION).as_uri()}"


def _stub_line(family: _Family, name: str, stubs: Path) -> str:
    wheel, contents = family.wheels[name], family.contents[name]
    path = write_stub(
        stubs,
        name,
        wheel.version,
        requires=contents.requires_dist or (),
        requires_python=contents.requires_python or wheel.requires_python,
    )
    extras = ",".join(sorted(family.extras.get(name, ())))
    return f"{name}[{extras}] @ {path.as_uri()}" if extras else f"{name} @ {path.as_uri()}"


def _others(request: DependencyRequest) -> list[str]:
    lines: list[str] = []
    for text in request.decision.others:
        requirement = parse_requirement(text)
        if requirement is None:
            raise UsageError(f"not a requirement: {text!r}", hints=("Write it as in: einops>=0.8",))
        if canonicalize_name(requirement.name) in request.family:
            raise UsageError(f"{requirement.name} belongs to torch's family and was not decided with it")
        lines.append(str(requirement))
    return sorted(lines)
