"""Packages that fell behind their newest release when torch was picked with them: which, and what holds each back.

uv may walk a package back for years, to a release that pinned nothing, where the torch that newer ones pin is not to be
had. What the newest release requires tells it, and so does each release between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from gpuenv.dataclass import dataclass
from gpuenv.environment.compiling import Picked, Resolver, as_wheel, compile_dependencies
from gpuenv.environment.dependencies import DependencyRequest
from gpuenv.errors import GpuenvError
from gpuenv.lock.target import marker_environment
from gpuenv.metadata import applies, parse_requirement, parse_version
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.system.files import scratch

Contents = Callable[[Wheel], WheelContents | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """A package of the person's whose newest release was not taken. ``of_family`` tells whether that release, as it
    stands, requires something of torch's family that is not to be had."""

    name: str
    version: str
    newest: str
    because: str
    of_family: bool = False

    def sentence(self, *, version: str | None = None) -> str:
        """What a person is told; ``version`` is what was taken in the end."""
        return f"{self.name} {version or self.version} is chosen, not {self.newest}, the newest: {self.because}"


def newest_releases(request: DependencyRequest, *, resolver: Resolver) -> dict[str, Picked]:
    """The newest release of each of the person's packages that its own line, the Python and the platform allow,
    whatever it requires. None where uv cannot tell: what is wrong is said by the resolution itself."""
    with scratch("newest") as folder:
        try:
            found = compile_dependencies(
                resolver,
                folder,
                requirements=list(request.decision.others),
                constraints=request.constraints,
                overrides=(),
                target=request.target,
                reach=request.reach,
                indexes=request.indexes,
                exclude_newer=request.exclude_newer,
                preferred=None,
                bound=request.bound,
                alone=True,
            )
        except GpuenvError:
            return {}
    return {each.name: each for each in found}


def behind(
    request: DependencyRequest,
    picked: Sequence[Picked],
    newest: Mapping[str, Picked],
    *,
    contents: Contents,
    usable: Callable[[str], Sequence[Wheel] | None],
) -> tuple[Behind, ...]:
    """The person's packages that are not at their newest release, by name, with what holds each back.

    ``usable`` gives the wheels of a package that the machine can use, ``None`` where no index tells.
    """
    chosen = {each.name: each for each in picked}
    found = []
    for name, latest in sorted(newest.items()):
        here = chosen.get(name)
        if here is None or latest.url is None or Version(here.version) >= Version(latest.version):
            continue
        because, of_family = _held_back(request, latest, chosen, contents, usable)
        row = Behind(name=name, version=here.version, newest=latest.version, because=because, of_family=of_family)
        found.append(row)
    return tuple(found)


def _held_back(
    request: DependencyRequest,
    latest: Picked,
    chosen: Mapping[str, Picked],
    contents: Contents,
    usable: Callable[[str], Sequence[Wheel] | None],
) -> tuple[str, bool]:
    """What holds a release back: certain reasons first. The last two say what was chosen instead, and no more."""
    wanted = list(needs(request, contents(as_wheel(latest))))
    decided = {wheel.project: wheel.version for wheel in request.decision.packages}
    versions = {name: each.version for name, each in chosen.items()} | decided
    ordered = sorted(wanted, key=lambda each: not _of_family(request, each))  # torch holds back most, and all of it
    unmet = [each for each in ordered if not _met(each, versions.get(canonicalize_name(each.name)))]
    for needed in unmet:
        if _of_family(request, needed) and not _served(request, needed):
            return f"{_requires(needed)}, and no such {needed.name} is offered for this machine and Python", True
    for needed in [each for each in unmet if not _of_family(request, each)][:_MOST_ASKED]:
        rows = usable(canonicalize_name(needed.name))
        if rows is not None and not any(needed.specifier.contains(row.version, prereleases=True) for row in rows):
            return f"{_requires(needed)}, which has no wheel for this machine and Python", False
    if who := _excluded_by(request, latest, chosen, contents):
        return who, False
    for needed in unmet:
        if (version := versions.get(canonicalize_name(needed.name))) is not None:
            return f"{_requires(needed)}, and {needed.name} {version} goes with all that is needed", False
    return "no set of versions with it goes with all that is needed", False


def _met(needed: Requirement, version: str | None) -> bool:
    return version is not None and needed.specifier.contains(version, prereleases=True)


_MOST_ASKED = 16
"""Packages whose pages are asked for the reason of one that fell behind."""


def _requires(needed: Requirement) -> str:
    return f"it requires {needed.name}{needed.specifier}"


def _excluded_by(request: DependencyRequest, latest: Picked, chosen: Mapping[str, Picked], contents: Contents) -> str:
    """The person's package whose own requirement leaves a release out; empty where none does."""
    for text in request.decision.others:
        own = parse_requirement(text)
        other = None if own is None else chosen.get(canonicalize_name(own.name))
        if other is None or other.name == latest.name or other.url is None:
            continue
        for needed in needs(request, contents(as_wheel(other))):
            excludes = canonicalize_name(needed.name) == latest.name
            if excludes and not needed.specifier.contains(latest.version, prereleases=True):
                return f"{other.name} {other.version} requires {needed.name}{needed.specifier}"
    return ""


def needs(request: DependencyRequest, contents: WheelContents | None) -> Iterator[Requirement]:
    """What a release requires on the target, without its extras."""
    environment = {**marker_environment(request.target), "extra": ""}
    for text in (contents.requires_dist if contents is not None else None) or ():
        wanted = parse_requirement(text)
        if wanted is not None and applies(wanted, environment):
            yield wanted


def _served(request: DependencyRequest, needed: Requirement) -> bool:
    """Whether the torch source offers what is required of the family; what was not decided on is not known to lack."""
    rows = [row for row in request.decision.alternatives if row.project == canonicalize_name(needed.name)]
    return not rows or any(needed.specifier.contains(row.version, prereleases=True) for row in rows)


def newest_with_torch(
    request: DependencyRequest, rows: Sequence[Wheel], *, above: str, contents: Contents, most: int
) -> tuple[str, tuple[str, ...]] | None:
    """The newest release of a package whose requirements on the family can be met, and those requirements as pins.

    ``rows`` are its wheels that the target can use, ``above`` is the release that there is without this; at most
    ``most`` releases are read. A release that requires nothing of torch is no answer: it pinned nothing, that is all.
    """
    own = [each for text in request.decision.others if (each := parse_requirement(text)) is not None]
    releases: dict[Version, Wheel] = {}
    for row in rows:
        version = parse_version(row.version)
        ranges = [each.specifier for each in own if canonicalize_name(each.name) == row.project]
        if version is None or version <= Version(above) or version.is_prerelease or row.yanked is not None:
            continue
        if all(each.contains(version) for each in ranges):
            releases.setdefault(version, row)
    for version in sorted(releases, reverse=True)[:most]:
        wanted = [each for each in needs(request, contents(releases[version])) if _of_family(request, each)]
        if any(each.name == "torch" for each in wanted) and all(_served(request, each) for each in wanted):
            return str(version), tuple(f"{each.name}{each.specifier}" for each in wanted if str(each.specifier))
    return None


def _of_family(request: DependencyRequest, needed: Requirement) -> bool:
    return canonicalize_name(needed.name) in request.family


def with_sentences(found: Sequence[Behind], versions: Mapping[str, str]) -> tuple[str, ...]:
    """What is said of packages that fell behind; ``versions`` are those that were taken in the end."""
    kept = (each for each in found if versions.get(each.name, each.version) != each.newest)
    return tuple(each.sentence(version=versions.get(each.name)) for each in kept)
