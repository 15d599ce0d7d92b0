"""Torch decided together with the packages that need it, and what fell behind for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gpuenv.environment import joint
from gpuenv.environment.behind import Behind, behind, newest_releases, newest_with_torch, with_sentences
from gpuenv.environment.dependencies import DependencyRequest
from gpuenv.errors import PackageIndexError
from gpuenv.model.wheel import Wheel
from gpuenv.select.target import Refusal, TargetTags
from gpuenv.steps.companions import with_companions, without_source_only
from gpuenv.steps.context import Context
from gpuenv.steps.decision import Decided, NothingFitsError, decide
from gpuenv.steps.dependencies import LockRequest, dependency_request, resolver_of
from gpuenv.steps.sources import ask
from gpuenv.steps.torch_source import DecidedSource

MOST_RELEASES = 40
"""Releases of a package whose metadata is read, newest first, for the one whose torch is to be had: a year of a project
that releases every week or two."""


def decide_together(context: Context, decided: Decided, how: LockRequest, needed: Sequence[str] = ()) -> Decided:
    """Decide again with the packages that need another torch, then with the companions that do."""
    return with_companions(context, with_packages(context, decided, how, needed) or decided)


def with_packages(context: Context, decided: Decided, how: LockRequest, needed: Sequence[str] = ()) -> Decided | None:
    """Decide again where a package of profile or project needs another torch than the one that was decided.

    uv picks torch together with those packages. One that fell behind its newest release is said, with what holds it
    back; one that fell behind because its newest releases want a torch that is not to be had decides torch by the
    newest release whose torch is. ``None`` where uv finds no set of versions, with any torch.
    """
    asked = replace(decided, decision=without_source_only(decided.decision))
    request, resolver = dependency_request(context, asked, how), resolver_of(context)
    if not joint.needs_joint(request, resolver):
        return decided
    source = DecidedSource(context, decided, previous=how.previous, tentative=how.tentative)
    picked = joint.pick_jointly(request, contents=source.contents, resolver=resolver)
    if picked is None:
        return None
    newest = newest_releases(request, resolver=resolver) if joint.leaves_a_choice(request) else {}
    usable = partial(_rows, context, decided)
    left = behind(request, picked, newest, contents=source.contents, usable=usable)
    versions = {each.name: each.version for each in picked}
    pins, who = joint.pins_of(request, picked), joint.who_asks(request, picked, contents=source.contents)
    lagging = _lagging(context, decided, request, left, source)
    if lagging is not None:
        row, version, pins = lagging
        versions[row.name] = version
        who = tuple(f"{row.name} {version} requires {pin}" for pin in pins if pin.startswith("torch"))[:1]
    again = _decided_again(context, decided, pins=pins, who=who, needed=needed, said=with_sentences(left, versions))
    return replace(again, picked=versions)


def _decided_again(
    context: Context,
    decided: Decided,
    *,
    pins: Sequence[str],
    who: Sequence[str],
    needed: Sequence[str],
    said: Sequence[str],
) -> Decided:
    """The decision with the pins of the packages, and the sentences on what fell behind."""
    torch = decided.decision.packages[0].version
    because: tuple[str, ...] = ()
    if pins:
        asks = " and ".join(who) or f"{', '.join(decided.decision.others)} and what they need go with no newer one"
        try:
            other = decide(context, machine=decided.machine, profile=decided.profile, pins=(*needed, *pins))
        except NothingFitsError as error:
            context.reporter.detail(f"{asks}. {error.message}")
        else:
            chosen = other.decision.packages[0].version
            because = (f"{asks}; without it, torch {torch} would have been chosen.",) if chosen != torch else ()
            decided = other
    decision = decided.decision
    return replace(
        decided,
        decision=replace(decision, because=(*because, *decision.because), warnings=(*decision.warnings, *said)),
    )


def _lagging(
    context: Context, decided: Decided, request: DependencyRequest, left: Sequence[Behind], source: DecidedSource
) -> tuple[Behind, str, tuple[str, ...]] | None:
    """The first package whose newest releases want a torch that is not to be had, with the newest release whose torch
    is, and what that requires of the family."""
    for row in left:
        if not row.of_family:
            continue
        rows = _rows(context, decided, row.name) or ()
        found = newest_with_torch(request, rows, above=row.version, contents=source.contents, most=MOST_RELEASES)
        if found is not None:
            return row, *found
    return None


def _rows(context: Context, decided: Decided, name: str) -> Sequence[Wheel] | None:
    """The wheels of a package outside the family that the machine and its Python can use, of the first index that has
    the package; ``None`` where none has."""
    target = TargetTags(decided.machine.facts, (decided.decision.python,))
    plan = decided.plan
    default = plan.default_index or plan.fallback()
    for place in (*plan.extra_indexes, *([default] if default is not None else [])):
        try:
            found = ask(context, place, projects=[name]).wheels
        except PackageIndexError as error:
            context.reporter.detail(f"{name}: {error.message}")
            continue
        if found:
            return [each for each in found if _usable(target, each)]
    return None


def _usable(target: TargetTags, wheel: Wheel) -> bool:
    parts = wheel.filename.removesuffix(".whl").split("-")
    if len(parts) < 5 or target.refuses_platform(parts[-1]) is not None:
        return False
    return not isinstance(target.accepts_pythons(parts[-3], parts[-2]), Refusal)
