"""Torch decided together with the packages that need it: uv picks among every torch that fits the machine.

A package that pins torch (vLLM, SGLang and most that ship compiled code) decides it. Shown only the newest torch, uv
finds no solution, or walks such a package back for years to a release that pinned nothing. So the person's packages
stand before the family, and the family's releases stand in an index on loopback with their real requirements, read when
uv asks for them; the names of the family come from nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from packaging.utils import canonicalize_name
from packaging.version import Version

from gpuenv.environment.compiling import NamedIndex, Picked, Resolver, as_wheel, compile_dependencies
from gpuenv.environment.dependencies import DependencyRequest
from gpuenv.environment.single_source import PLACEHOLDER_VERSION, SingleSourceIndex, write_stub
from gpuenv.errors import IndexUnreachableError, NoSolutionError, UvError
from gpuenv.lock.model import Lock
from gpuenv.metadata import parse_requirement
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.system.files import scratch

_NO_SOLUTION = ("no solution found", "unsatisfiable")
_SHOWN = 6


def needs_joint(request: DependencyRequest, resolver: Resolver) -> bool:
    """Whether there is something to decide together: packages outside the family, and more than one torch for them.

    A nightly is a set of one day, whose torch no package pins. Offline, uv reaches no index, not even on loopback.
    """
    decision = request.decision
    releases = [wheel for wheel in decision.alternatives if wheel.project == "torch"]
    settled = request.single_source or resolver.offline or decision.channel != "stable"
    return bool(decision.others) and len(releases) > 1 and not settled


def leaves_a_choice(request: DependencyRequest) -> bool:
    """Whether any of the person's packages may be of several versions."""
    exact = re.compile(r"===?[^*,]+")
    named = (parse_requirement(text) for text in request.decision.others)
    return any(each is not None and each.url is None and not exact.fullmatch(str(each.specifier)) for each in named)


def pick_jointly(
    request: DependencyRequest, *, contents: Callable[[Wheel], WheelContents | None], resolver: Resolver
) -> tuple[Picked, ...] | None:
    """Ask uv once, with every release of the family that fits; ``None`` where it finds no solution.

    Names of the family that nobody decided on are placeholders here: they are looked for when the family is closed.
    """
    names = tuple(wheel.project for wheel in request.decision.packages)
    rows = request.decision.alternatives
    index = SingleSourceIndex(listed=lambda name: [row for row in rows if row.project == name], contents=contents)
    with scratch("joint") as folder, index:
        placeholders = [
            f"{name} @ {write_stub(folder, name, PLACEHOLDER_VERSION).as_uri()}"
            for name in sorted(request.family - set(names))
        ]
        environ = {**resolver.extra_env}
        for name in ("NO_PROXY", "no_proxy"):
            own = environ.get(name) or resolver.uv.environ.get(name, "")
            environ[name] = ",".join([each for each in (own, "127.0.0.1") if each])
        try:
            return compile_dependencies(
                replace(resolver, extra_env=environ),
                folder,
                requirements=[*request.decision.others, *names],
                constraints=request.constraints,
                overrides=[*placeholders, *request.overrides],
                target=request.target,
                reach=request.reach,
                indexes=request.indexes,
                exclude_newer=request.exclude_newer,
                preferred=_preferred(request),
                bound=(NamedIndex(url=index.url, names=names), *request.bound),
                untimed=names,
            )
        except (UvError, IndexUnreachableError):
            return None  # what stands in the way is said when the family is closed, with the words for it


def pins_of(request: DependencyRequest, picked: Sequence[Picked]) -> tuple[str, ...]:
    """The family's releases that were picked, as requirements; empty where they are those of the decision."""
    chosen = {each.name: each.version.partition("+")[0] for each in picked}
    decided = {wheel.project: wheel.version.partition("+")[0] for wheel in request.decision.packages}
    moved = any(Version(chosen[name]) != Version(version) for name, version in decided.items() if name in chosen)
    return tuple(f"{name}=={chosen[name]}" for name in decided if name in chosen) if moved else ()


def who_asks(
    request: DependencyRequest, picked: Sequence[Picked], *, contents: Callable[[Wheel], WheelContents | None]
) -> tuple[str, ...]:
    """The picked packages outside the family whose requirements exclude what was decided: ``appold 1.0 requires
    torch==2.8.0``. The person's own are read first, the others only where none of these asks."""
    decided = {wheel.project: wheel.version for wheel in request.decision.packages}
    own = {canonicalize_name(named.name) for text in request.decision.others if (named := parse_requirement(text))}
    others = [each for each in picked if each.url is not None and each.name not in request.family]
    for group in ([each for each in others if each.name in own], [each for each in others if each.name not in own]):
        found: list[tuple[str, str]] = []
        for each in group:
            read = contents(as_wheel(each))
            for text in (read.requires_dist if read is not None else None) or ():
                wanted = parse_requirement(text)
                name = canonicalize_name(wanted.name) if wanted is not None else ""
                if wanted is None or name not in decided or (wanted.marker and "extra" in str(wanted.marker)):
                    continue
                if not wanted.specifier.contains(decided[name], prereleases=True):
                    found.append((name, f"{each.name} {each.version} requires {name}{wanted.specifier}"))
        if found:  # what goes with torch follows from it
            about = "torch" if any(name == "torch" for name, _ in found) else ""
            return tuple(sentence for name, sentence in found if name == about or not about)
    return ()


_ALONE = (
    (
        r"(?<![\w-]){} was not found in",
        ("is not on the package index that was asked", "are not on the package index that was asked"),
        "Check the name, or name a place that has it: `--index URL`, `--find-links DIR`",
    ),
    (
        r"(?<![\w-]){}(?:[=<>!~]\S*)? has no usable wheels",
        (
            "has no wheel for this machine, and is not built from its source unasked",
            "have no wheel for this machine, and are not built from their source unasked",
        ),
        "Name a page or a folder that has its wheels for this torch: `--find-links DIR`",
    ),
)
"""What uv says of one package whatever the others are, what we say, and what can be done about it."""


def refusal(request: DependencyRequest, error: UvError) -> UvError:
    """Name the packages that stand in each other's way; ``error`` itself where uv failed for another reason."""
    said = " ".join(error.causes)
    if not any(words in said.lower() for words in _NO_SOLUTION):
        return error
    named = [parsed.name for text in request.decision.others if (parsed := parse_requirement(text))]
    causes = tuple(re.sub(r"^(?:(?:error|cause): )+", "", cause) for cause in error.causes)
    for pattern, words, hint in _ALONE:
        found = [name for name in named if re.search(pattern.format(re.escape(name)), said)]
        if found:
            message = f"{' and '.join(found)} {words[0] if len(found) == 1 else words[1]}"
            absent = found if pattern == _ALONE[0][0] else ()
            wheelless = found if pattern == _ALONE[1][0] else ()
            return NoSolutionError(
                message, causes=causes, hints=(hint,), blamed=found, absent=absent, wheelless=wheelless
            )
    blamed = [name for name in named if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", said)] or named
    releases = [wheel.version.partition("+")[0] for wheel in request.decision.alternatives if wheel.project == "torch"]
    versions = ", ".join(str(each) for each in sorted(map(Version, releases), reverse=True)[:_SHOWN])
    more = ", …" if len(releases) > _SHOWN else ""
    about_torch = any(re.search(rf"(?<![\w-]){each.project}[<>=!]", said) for each in request.decision.packages)
    message = f"no set of versions meets what {' and '.join(blamed) or 'torch'} and the others require"
    if blamed and about_torch:
        does = "does" if len(blamed) == 1 else "do"
        message = f"{' and '.join(blamed)} {does} not go with any torch that fits this machine ({versions}{more})"
    return NoSolutionError(
        message,
        causes=causes,
        hints=(f"See which torch fits, and why: `gpuenv resolve --profile {request.decision.profile} --explain`",),
        blamed=blamed,
    )


def _preferred(request: DependencyRequest) -> Lock | None:
    """The versions of an earlier lock without the family's: those are what is to be found out."""
    lock = request.preferred
    return None if lock is None else lock.without({each.name for each in lock.family} | request.family)
