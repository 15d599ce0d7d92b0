"""The lock a command works from: the one that stands there when it is still the answer, else a new one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gpuenv import knowledge as tables
from gpuenv.commands import deciding, locking
from gpuenv.commands.context import Context
from gpuenv.commands.deciding import Decided, NothingFitsError
from gpuenv.commands.machines import class_name
from gpuenv.commands.saying import say_decision
from gpuenv.commands.seeing import Seen, in_words
from gpuenv.commands.wanted import in_scope
from gpuenv.environment.closure import FamilyGapError
from gpuenv.errors import MachineMismatchError
from gpuenv.lock.fit import fits_machine
from gpuenv.lock.making import profile_digest
from gpuenv.lock.model import Lock
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.system.files import require_writable

MOST_DAYS_BACK = 10
"""Nightlies to pass over for want of what torch needs: the longest gap of half a year (docs/nightlies.md) and a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A lock in its file. ``decided`` is ``None`` where a lock that stood there was used."""

    path: Path
    shown: str
    """The path relative to the project."""
    lock: Lock
    decided: Decided | None
    written: bool


def lock_for(context: Context, *, seen: Seen, profile: Profile) -> Locked:
    """Use the lock of the profile where it still answers the profile, else decide and lock.

    A lock that was made for another machine is refused with the reason, not replaced: it may be somebody's work.
    """
    path = standing_path(context, profile, seen)
    shown = context.shown(path)
    lock = locking.read_lock(path, shown=shown)
    if lock is not None and still_meant(context, profile, lock):
        refuse_other_machine(lock, in_scope(context, seen.machine), shown=shown, profile=profile)
        context.reporter.say(
            f"Using lockfile {shown}: torch {lock.decision.torch} for Python {lock.inputs.target.python}"
        )
        return Locked(path=path, shown=shown, lock=lock, decided=None, written=False)
    if lock is not None:
        context.reporter.say(f"Lockfile {shown} was made for other wishes: locking again")
    decided, lock = decide_and_lock(
        context,
        seen=seen,
        profile=profile,
        wishes=locking.LockWishes(previous=lock, single_source=lock is not None and lock.decision.single_source),
    )
    written = locking.write_lock(path, lock)
    context.reporter.say(f"Wrote lockfile {shown}: {len(lock.packages)} packages")
    return Locked(path=path, shown=shown, lock=lock, decided=decided, written=written)


def decide_and_lock(
    context: Context, *, seen: Seen, profile: Profile, wishes: locking.LockWishes, say: bool = True
) -> tuple[Decided, Lock]:
    """Decide, and lock what was decided.

    What torch needs beyond the profile's packages, triton above all, is looked for only now. A nightly whose own is
    missing is passed over for the day before, as one whose torchvision is missing was when it was decided. A companion
    that a package of the profile needs, and that this torch has none of, is decided with torch like one of the profile.
    """
    if not wishes.tentative:
        require_writable(context.project / locking.FOLDER, what="the folder of the locks")
    exclude: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    gap: FamilyGapError | None = None
    while True:
        try:
            decided = deciding.decide(context, seen=seen, profile=profile, exclude=exclude, pins=needed)
        except NothingFitsError:
            if gap is not None:
                raise gap from None
            raise
        decided = _with_packages(context, decided, wishes, needed)
        if say:
            say_decision(context, decided)
        try:
            return decided, locking.make_lock(context, decided, wishes)
        except FamilyGapError as error:
            torch = decided.decision.packages[0]
            if error.name in tables.load().import_checks and error.name not in needed:
                gap, needed = gap or error, (*needed, error.name)
                context.reporter.say(f"{error.message}: choosing torch together with {error.name}")
                continue
            if torch.channel != "nightly" or len(exclude) == MOST_DAYS_BACK:
                raise gap or error from None
            gap = gap or error
            exclude += (f"torch=={torch.version.partition('+')[0]}",)
            context.reporter.say(f"{error.message}: going back to an earlier day")


def _with_packages(context: Context, decided: Decided, wishes: locking.LockWishes, needed: tuple[str, ...]) -> Decided:
    """Decide again where a package of the profile needs another torch than the one that was decided."""
    asked = locking.ask_packages(context, decided, wishes)
    if asked is None:
        return decided
    try:
        other = deciding.decide(context, seen=decided.seen, profile=decided.profile, pins=(*needed, *asked.pins))
    except NothingFitsError as error:
        context.reporter.detail(f"{asked.because} {error.message}")
        return decided
    return replace(other, decision=replace(other.decision, because=(asked.because, *other.decision.because)))


def standing_path(context: Context, profile: Profile, seen: Seen) -> Path:
    """Where the lock of a profile stands for this machine: its own, else that of the machine's class (`lock --for`)."""
    own = locking.lock_path(context, profile.name)
    shared = locking.lock_path(context, f"{profile.name}-{class_name(in_scope(context, seen.machine))}")
    return shared if shared.is_file() and not own.is_file() else own


def still_meant(context: Context, profile: Profile, lock: Lock) -> bool:
    """Tell whether profile and options still mean what the lock was made for."""
    wishes, decision = context.wishes, lock.decision
    if lock.inputs.profile_digest != profile_digest(profile):
        return False
    if wishes.python is not None and wishes.python != lock.inputs.target.python:
        return False
    if wishes.variant is not None and wishes.variant != decision.variant:
        return False
    if wishes.channel in ("stable", "nightly") and wishes.channel != decision.channel:
        return False
    if wishes.torch is not None:
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(wishes.torch).contains(decision.torch, prereleases=True)
    return True


def refuse_other_machine(lock: Lock, machine: Machine, *, shown: str, profile: Profile) -> None:
    """Raise where the lock is for another machine."""
    mismatch = fits_machine(lock, machine, tables.load())
    if mismatch is None:
        return
    raise MachineMismatchError(
        f"{shown} {mismatch.sentence}",
        causes=(f"locked for: {mismatch.locked}", f"found: {mismatch.found} ({in_words(machine)})"),
        hints=(f"Lock for this machine: `gpuenv lock --profile {profile.name} --upgrade`",),
    )
