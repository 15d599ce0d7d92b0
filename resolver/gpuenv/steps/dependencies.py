"""How uv is asked for what a decision needs: the request, the indexes, and uv as this run has it."""

from __future__ import annotations

import sys
from pathlib import Path

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.environment.compiling import Indexes, NamedIndex, Resolver
from gpuenv.environment.dependencies import DependencyRequest
from gpuenv.errors import UvError
from gpuenv.knowledge.built_against import BuiltAgainst, built_against
from gpuenv.lock import making
from gpuenv.lock.model import Lock
from gpuenv.model.asked import Asked
from gpuenv.net.location import host_of
from gpuenv.steps.context import Context
from gpuenv.steps.decision import Decided
from gpuenv.steps.project import asked_of, others_of
from gpuenv.steps.pythons import uv_of
from gpuenv.steps.sources import source_plan, uv_environment


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRequest:
    """How to lock. ``previous`` is the lock that stands there: what it hashed is not downloaded again, and must not
    have changed. ``preferred`` keeps its versions where they still fit; ``None`` lets them move.

    A ``tentative`` lock is made to be compared or shown, never written: no wheel is downloaded to learn its hash.
    """

    previous: Lock | None = None
    preferred: Lock | None = None
    tentative: bool = False
    single_source: bool = False
    excluded: tuple[str, ...] = ()
    """Requirements (``"sglang-kernel!=0.4.10"``) on packages that were found not to go with torch."""
    command: str = ""
    options: tuple[str, ...] | None = None
    """What the lock says it was made for; ``None``: the options as they are."""


def dependency_request(context: Context, decided: Decided, how: LockRequest) -> DependencyRequest:
    """What of a decision is to be closed over, and under which terms."""
    asked = asked_of(context)
    target = making.target_of(
        decided.machine.facts,
        python=decided.decision.python,
        filenames=[wheel.filename for wheel in decided.decision.packages],
    )
    hosts = _hosts(decided, single_source=how.single_source)
    return DependencyRequest(
        decision=decided.decision,
        target=target,
        reach=making.reach_of(target, decided.machine.facts) if decided.decision.others else None,
        family=tables.load().family,
        requirements=(
            *decided.profile.packages,
            *decided.profile.optional_packages,
            *(row.text for row in decided.request.stated),
        ),
        constraints=(
            *others_of(asked, "constraint"),
            *(each.requirement for each in _compiled_for(decided)),
            *how.excluded,
        ),
        overrides=others_of(asked, "override"),
        bound=() if how.single_source else _bound(asked),
        indexes=indexes_of(context),
        exclude_newer=context.options.exclude_newer,
        previous=how.previous,
        preferred=how.preferred,
        single_source=how.single_source,
        torch_hosts=hosts if how.single_source else hosts - _named_hosts(context),
    )


def _compiled_for(decided: Decided) -> tuple[BuiltAgainst, ...]:
    """What the decided torch was compiled against, and does not say."""
    return built_against(decided.decision.packages[0].version, decided.machine.facts.os)


def with_compiled_for(decided: Decided, error: UvError) -> UvError:
    """The error with where a bound in it comes from that nobody wrote anywhere."""
    said, torch = " ".join(error.causes), decided.decision.packages[0].version
    causes = [
        f"torch {torch} was compiled for {each.what}: {each.requirement} goes with it, and with another {each.fails}"
        for each in _compiled_for(decided)
        if each.requirement in said
    ]
    error.causes = (*error.causes, *causes)
    return error


def resolver_of(context: Context) -> Resolver:
    """uv, as this run is to use it."""
    return Resolver(
        uv=uv_of(context),
        reporter=context.reporter,
        interpreter=Path(sys.executable),
        offline=context.offline,
        extra_env=uv_environment(context),
        refresh=context.refresh,
    )


def _bound(asked: Asked) -> tuple[NamedIndex, ...]:
    """The indexes that the project binds to packages by name."""
    return tuple(
        NamedIndex(url=each.address.with_secrets(), names=each.packages) for each in asked.sources if each.packages
    )


def indexes_of(context: Context) -> Indexes:
    """Where packages outside the family come from."""
    plan = source_plan(context)
    return Indexes(
        default=plan.default_index.location if plan.default_index else None,
        extra=tuple(place.location for place in plan.extra_indexes),
        find_links=tuple(place.location for place in plan.find_links),
    )


def _named_hosts(context: Context) -> frozenset[str]:
    """The hosts of pages that were named by an option: what is listed there is meant to be taken. A lock from a single
    source takes nothing but what stands there, whatever else is named."""
    origin = context.options.origins.get("find-links", "--find-links")
    named = [place.location for place in source_plan(context).find_links if place.configured_by == origin]
    return frozenset(host_of(each.url) for each in named if not each.is_local)


def _hosts(decided: Decided, *, single_source: bool) -> frozenset[str]:
    """Hosts that serve the torch index and nothing else.

    A mirror's host counts only where everything has to come from it: a company's server often holds a mirror of
    PyTorch's index and one of the package index side by side.
    """
    own = {host_of(wheel.url) for wheel in decided.decision.packages} if single_source else set()
    return tables.load().pytorch_hosts | own
