"""Compare a lock with the world as it is now: the index, the tables, the profile, the machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from gpuenv import knowledge as tables
from gpuenv.errors import GpuenvError, IndexUnreachableError, PackageIndexError, UsageError
from gpuenv.index.source import Sources
from gpuenv.lock import check as rules
from gpuenv.lock import making
from gpuenv.lock.check import LinkState, LockVerdict
from gpuenv.lock.fit import fits_machine
from gpuenv.lock.model import Lock
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Channel, Wheel
from gpuenv.net.client import Client
from gpuenv.steps.context import Context
from gpuenv.steps.dependencies import LockRequest
from gpuenv.steps.lock import require_sound
from gpuenv.steps.lock_options import with_lock_options
from gpuenv.steps.machine import TargetMachine, in_scope
from gpuenv.steps.new_lock import decide_and_lock
from gpuenv.steps.project import asked_of
from gpuenv.steps.sources import ask, open_http, source_plan


def check(context: Context, *, machine: TargetMachine, profile: Profile, lock: Lock | None, shown: str) -> LockVerdict:
    """Check one lock; nothing is written. The reasons are ordered, the gravest first."""
    if lock is None:
        raise UsageError(f"there is no {shown} to check", hints=(f"Make it: `gpuenv lock --profile {profile.name}`",))
    require_sound(context, lock, profile=profile, shown=shown)
    context = _as_locked(context, lock)
    rows, links = _listed(context, lock)
    fresh = _fresh(context, machine, profile, lock)
    digest = making.profile_digest(profile)
    now = replace(
        lock.inputs, profile=profile.name, profile_digest=digest, knowledge=tables.load().version,
        requirements=asked_of(context).recorded,
    )  # fmt: skip
    verdict = rules.check(
        lock,
        rows=rows,
        links=links,
        now=now,
        fresh=fresh,
        mismatch=fits_machine(lock, in_scope(context, machine.facts), tables.load()),
    )
    for reason in verdict.reasons:
        context.reporter.say(f"{shown}: {reason.sentence}")
    if not verdict.reasons:
        context.reporter.say(f"{shown} holds: {len(lock.packages)} packages, torch {lock.decision.torch}")
    return verdict


def _as_locked(context: Context, lock: Lock) -> Context:
    """The context with the lock's own Python and cutoff where nobody asked for others: they are inputs of the lock, and
    a check on a machine with other interpreters is no reason to lock again."""
    context = with_lock_options(context, lock)
    options = replace(
        context.options,
        python=context.options.python or lock.inputs.target.python,
        exclude_newer=context.options.exclude_newer or lock.inputs.cutoff,
    )
    return replace(context, options=options)


def _listed(context: Context, lock: Lock) -> tuple[tuple[Wheel, ...] | None, Mapping[str, LinkState]]:
    """The rows that the lock's torch source lists now for what is locked, and how the links of vanished ones answer."""
    channel: Channel = lock.decision.channel
    http = open_http(context)
    names = sorted(package.name for package in lock.packages if package.family or lock.decision.single_source)
    sources = Sources(source_plan(context), partial(ask, context, projects=names, channels=(channel,)))
    for place, catalog in sources:
        if place.kind == lock.decision.source and catalog.wheels:
            rows = catalog.wheels
            vanished = rules.unlisted(lock, rows)
            return rows, {package.location: _link_state(http, package.location) for package in vanished}
    return None, {}


def _link_state(http: Client, location: str) -> LinkState:
    """Ask for one byte of a wheel: does its link still answer?"""
    if making.local_path(location) is not None:
        return "answers" if Path(str(making.local_path(location))).is_file() else "gone"
    try:
        part = http.part(location, "bytes=0-0", limit=1)
    except IndexUnreachableError as error:
        return "gone" if error.status in (403, 404, 410) else "unknown"
    except PackageIndexError:
        return "unknown"
    return "answers" if part.status in (200, 206) else "unknown"


def _fresh(context: Context, machine: TargetMachine, profile: Profile, lock: Lock) -> Lock | None:
    """The lock that would be made now; ``None`` where none can, which the other reasons explain."""
    try:
        how = LockRequest(
            options=lock.inputs.options,
            previous=lock,
            tentative=True,
            single_source=lock.decision.single_source,
            command=lock.command,
        )
        return decide_and_lock(context, machine=machine, profile=profile, how=how, say=False)[1]
    except GpuenvError as error:
        context.reporter.warn(f"no lock can be made now: {error.message}")
        return None
