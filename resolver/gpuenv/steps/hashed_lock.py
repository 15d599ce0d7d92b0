"""A committed lock of hashed requirements as the lock of a profile: its files are found at this machine's own sources,
by their hashes, and the lock that names them is written on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv import knowledge as tables
from gpuenv.errors import ConfigurationError, IndexUnreachableError, PackageIndexError
from gpuenv.lock.diff import diff
from gpuenv.lock.fit import fits_machine
from gpuenv.lock.hashed import hashed_filename, placed
from gpuenv.lock.model import Lock, LockedPackage
from gpuenv.model.profile import Profile
from gpuenv.steps.context import Context
from gpuenv.steps.lock import (
    Locked,
    described,
    existing_lock,
    refuse_other_machine,
    require_sound,
    still_meant,
)
from gpuenv.steps.lock_file import FOLDER, place_of, read_lock, write_lock
from gpuenv.steps.machine import TargetMachine, in_scope

if TYPE_CHECKING:  # what lists wheels is loaded where a committed set has to be placed
    from gpuenv.index.config import Place
    from gpuenv.model.wheel import Wheel


def of_lock(context: Context, named: Path | None) -> Context:
    """The context for a lock that was named: its profile, where no other was asked for."""
    if named is None or context.options.profile is not None:
        return context
    return replace(context, options=replace(context.options, profile=_named(context, named).inputs.profile))


def standing_lock(
    context: Context, *, machine: TargetMachine, profile: Profile, named: Path | None = None, dry_run: bool = False
) -> Locked | None:
    """The lock to build from, where there is one: the one that was ``named``, else the profile's own, else the
    committed set of hashed requirements, if it is for this machine. ``None``: a new one has to be made."""
    if named is not None:
        return _from_named(context, named, machine=machine, profile=profile, dry_run=dry_run)
    path = context.project / FOLDER / hashed_filename(profile.name)
    shown = context.shown(path)
    locked = existing_lock(context, machine=machine, profile=profile)
    committed = read_lock(path, shown=shown)
    if committed is None or not still_meant(context, profile, committed):
        return locked
    if locked is not None:
        if changes := diff(locked.lock, committed).changes:
            what = f"torch {committed.decision.torch}, {len(changes)} packages differ"
            context.reporter.say(f"{shown} locks another set ({what}): `gpuenv create --lock {shown}` takes it")
        return locked
    mismatch = fits_machine(committed, in_scope(context, machine.facts), tables.load())
    if mismatch is not None:
        context.reporter.say(f"{shown} {mismatch.sentence}: it is not used")
        return None
    return _placed(context, committed, shown=shown, machine=machine, profile=profile, dry_run=dry_run)


def _named(context: Context, named: Path) -> Lock:
    path = context.project / named
    lock = read_lock(path, shown=context.shown(path))
    if lock is None:
        there = [context.shown(each) for each in sorted((context.project / FOLDER).glob("*.t*")) if each.is_file()]
        raise ConfigurationError(
            f"there is no lock at {context.shown(path)}",
            causes=(f"there are {', '.join(there)}",) if there else (),
            hints=() if there else ("Make one: `gpuenv lock`",),
        )
    return lock


def _from_named(
    context: Context, named: Path, *, machine: TargetMachine, profile: Profile, dry_run: bool
) -> Locked | None:
    lock, shown = _named(context, named), context.shown(context.project / named)
    if not still_meant(context, profile, lock):
        raise ConfigurationError(
            f"{shown} was made for something else than is asked for now",
            causes=(
                f"its profile is {lock.inputs.profile}, and its options {' '.join(lock.inputs.options) or 'none'}",
                f"asked for: the profile {profile.name} as it stands now, with the options given here",
            ),
            hints=(f"Lock what is asked for now: `gpuenv lock --profile {profile.name} --upgrade`",),
        )
    refuse_other_machine(lock, in_scope(context, machine.facts), shown=shown, profile=profile)
    own = place_of(context, profile.name, in_scope(context, machine.facts))
    before = read_lock(own, shown=context.shown(own), profile=profile.name) if own != context.project / named else lock
    if before is not None and not diff(before, lock) and still_meant(context, profile, before):
        return existing_lock(context, machine=machine, profile=profile)
    return _placed(context, lock, shown=shown, machine=machine, profile=profile, dry_run=dry_run)


def _placed(
    context: Context, lock: Lock, *, shown: str, machine: TargetMachine, profile: Profile, dry_run: bool
) -> Locked:
    """Find the files, and write the lock that names them."""
    if any(package.url is None and package.path == package.filename for package in lock.packages):
        lock = _with_places(context, lock, shown=shown)
    require_sound(context, lock, profile=profile, shown=shown)
    path = place_of(context, profile.name, in_scope(context, machine.facts))
    written = not dry_run and write_lock(path, lock)
    wrote = f"; wrote lockfile {context.shown(path)}" if written else ""
    context.reporter.say(f"Using {shown}: {described(lock)}{wrote}")
    shown = shown if dry_run else context.shown(path)
    return Locked(path=path, shown=shown, lock=lock, decided=None, written=written)


def _with_places(context: Context, lock: Lock, *, shown: str) -> Lock:
    """Look for every file at the sources its name may come from: the torch source for the family, else the indexes."""
    rows: dict[str, Wheel] = {}
    asked: list[Place] = []
    failures: list[str] = []
    of_torch = [each for each in lock.packages if each.source == lock.decision.source and each.family]
    others = [each for each in lock.packages if each not in of_torch]
    for packages, places in ((of_torch, _torch_places(context, lock)), (others, _other_places(context, lock))):
        for place in places:
            missing = [each for each in packages if each.name not in rows]
            if not missing:
                break
            try:
                found = _listed(context, lock, place, missing)
            except PackageIndexError as error:
                failures.append(f"{place.words}: {error.message}")
                continue
            if packages is of_torch and found:
                asked.append(place)
            rows |= found
    lacking = [each for each in lock.packages if each.name not in rows]
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        raise IndexUnreachableError(
            f"no source lists {lacking[0].filename}{more} with the hash in {shown}",
            causes=failures or [f"asked: {', '.join(place.words for place in asked)}"] if failures or asked else (),
            hints=(f"Lock what is listed now: `gpuenv lock --profile {lock.inputs.profile} --upgrade`",),
        )
    from gpuenv.steps.sources import open_http

    http = open_http(context)
    signed = [name for name, row in rows.items() if "://" in row.url and http.address(row.url).query]
    return placed(lock, rows, sources=dict.fromkeys(place.shown for place in asked), signed=signed)


def _listed(context: Context, lock: Lock, place: Place, packages: Sequence[LockedPackage]) -> dict[str, Wheel]:
    """The rows of the locked files, by name: one with the locked hash before one that states none or another."""
    wanted = {each.name: each for each in packages}
    from gpuenv.steps.sources import ask

    catalog = ask(context, place, projects=list(wanted), channels=(lock.decision.channel,))
    rows = [row for row in catalog.wheels if row.filename == wanted[row.project].filename]
    rows.sort(key=lambda row: (row.sha256 == wanted[row.project].sha256, row.sha256 is None))
    return {row.project: row for row in rows}


def _torch_places(context: Context, lock: Lock) -> Sequence[Place]:
    from gpuenv.steps.sources import source_plan

    plan = source_plan(context)
    last = plan.fallback()
    return [place for place in (*plan.torch, *([last] if last else ())) if place.kind == lock.decision.source]


def _other_places(context: Context, lock: Lock) -> Sequence[Place]:
    if lock.decision.single_source:
        return _torch_places(context, lock)
    from gpuenv.steps.sources import source_plan

    plan = source_plan(context)
    default = plan.default_index or plan.fallback()
    return (*([default] if default else ()), *plan.extra_indexes, *plan.find_links)
