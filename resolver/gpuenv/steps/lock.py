"""The lock that stands in a project: read, checked, told whether it is still the answer, written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.errors import (
    IntegrityError,
    MachineMismatchError,
)
from gpuenv.lock.fit import fits_machine, newer_release
from gpuenv.lock.making import profile_digest
from gpuenv.lock.model import Lock
from gpuenv.lock.recorded import recorded_requirements
from gpuenv.lock.soundness import faults_of, is_complete
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.steps.context import Context
from gpuenv.steps.lock_file import find_lock, read_lock, say_foreign
from gpuenv.steps.lock_options import builds_of, builds_that_are_gone, with_lock_options
from gpuenv.steps.machine import TargetMachine, in_scope, in_words
from gpuenv.steps.profile import known_profile
from gpuenv.steps.project import asked_of
from gpuenv.system.files import sweep_beside

if TYPE_CHECKING:
    from gpuenv.steps.decision import Decided


def require_sound(context: Context, lock: Lock, *, profile: Profile | None, shown: str) -> None:
    """Refuse a lock that contradicts itself, before anything is fetched or built from it.

    Raises :class:`~gpuenv.errors.IntegrityError` with each row.
    """
    faults = faults_of(lock, profile=profile, knowledge=tables.load())
    if faults:
        name = profile.name if profile is not None else lock.inputs.profile
        raise IntegrityError(
            f"{shown} contradicts itself: it was changed after it was made",
            causes=tuple(str(fault) for fault in faults),
            hints=(
                f"Make it again, and read what changes before you use it: `gpuenv lock --profile {name} --upgrade`",
            ),
        )
    if not is_complete(lock):
        context.reporter.detail(f"{shown} records no hosts and no dependencies: the rest of it agrees")


def read_sound(context: Context, path: Path, *, profile: str) -> Lock | None:
    """Read a lock that may not exist and is used as it stands: one that contradicts itself is refused."""
    shown = context.shown(path)
    lock = read_lock(path, shown=shown)
    if lock is not None:
        require_sound(context, lock, profile=known_profile(context, profile), shown=shown)
    return lock


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A lock in its file. ``decided`` is ``None`` where a lock that stood there was used."""

    path: Path
    shown: str
    """The path relative to the project."""
    lock: Lock
    decided: Decided | None
    written: bool


def existing_lock(context: Context, *, machine: TargetMachine, profile: Profile) -> Locked | None:
    """The lock of the profile, where one stands there and still answers profile and options.

    One that was made for another machine is refused with the reason, not replaced: it may be somebody's work.
    """
    found = find_lock(context, profile.name, in_scope(context, machine.facts))
    path, lock = found.path, found.lock
    sweep_beside(path)
    shown = context.shown(path)
    say_foreign(context, found, profile.name)
    if lock is None or not still_meant(context, profile, lock):
        return None
    require_sound(context, lock, profile=profile, shown=shown)
    refuse_other_machine(lock, in_scope(context, machine.facts), shown=shown, profile=profile)
    context.reporter.say(f"Using lockfile {shown}: {described(lock)}")
    return Locked(path=path, shown=shown, lock=lock, decided=None, written=False)


def described(lock: Lock) -> str:
    """What a lock holds, and the date of its newest file."""
    uploaded = max((package.upload_time[:10] for package in lock.packages if package.upload_time), default="")
    age = f" (newest file of {uploaded})" if uploaded else ""
    return f"torch {lock.decision.torch} for Python {lock.inputs.target.python}{age}"


def say_newer(context: Context, locked: Locked, *, machine: TargetMachine, profile: Profile) -> None:
    """Say how old the torch of a lock that stood there is, where the tables know a newer one that the machine runs and
    nobody ruled out. The releases are read for it (0.01 s): a build says it while uv works."""
    lock = locked.lock
    if locked.decided is not None:
        return
    knowledge = tables.load()
    newer = newer_release(lock, in_scope(context, machine.facts), knowledge)
    ours = knowledge.releases.get(lock.decision.torch.partition("+")[0])
    options = with_lock_options(context, lock).options  # an upgrade goes by them too
    pins = (options.variant, profile.variant, options.torch)
    pinned = any(
        each.startswith("torch") and set(each) & set("<>=!~@")
        for each in (*profile.packages, *recorded_requirements(lock.inputs.requirements))
    )
    if newer is None or ours is None or any(pins) or pinned:
        return
    locked_torch = lock.by_name.get("torch")
    of = locked_torch.upload_time[:10] if locked_torch and locked_torch.upload_time else ours.uploaded
    again = f"`gpuenv lock --profile {profile.name} --upgrade --dry-run`"
    context.reporter.say(f"The locked torch is of {of}; {newer.torch} came out on {newer.uploaded}, see {again}")


def still_meant(context: Context, profile: Profile, lock: Lock) -> bool:
    """Tell whether profile and options still mean what the lock was made for."""
    options, decision = context.options, lock.decision
    if lock.inputs.profile_digest != profile_digest(profile):
        return False
    if lock.inputs.requirements != asked_of(with_lock_options(context, lock)).recorded:
        return False
    if options.python is not None and options.python != lock.inputs.target.python:
        return False
    if options.variant is not None and options.variant != decision.variant:
        return False
    if options.build and (frozenset(options.build) != builds_of(lock) or builds_that_are_gone(context, lock)):
        return False
    if options.channel in ("stable", "nightly") and options.channel != decision.channel:
        return False
    if options.torch is not None:
        from packaging.specifiers import SpecifierSet

        return SpecifierSet(options.torch).contains(decision.torch, prereleases=True)
    return True


def refuse_other_machine(lock: Lock, machine: Machine, *, shown: str, profile: Profile) -> None:
    """Raise where the lock is for another machine."""
    mismatch = fits_machine(lock, machine, tables.load())
    if mismatch is None:
        return
    raise MachineMismatchError(
        f"{shown} {mismatch.sentence}",
        causes=(f"locked for: {mismatch.locked}", f"found: {mismatch.found} ({in_words(machine)})"),
        hints=(
            f"Lock for this machine: `gpuenv lock --profile {profile.name} --upgrade`",
            "Or keep that one and lock beside it: `gpuenv detect --json > machine.json`, "
            f"then `gpuenv lock --profile {profile.name} --for machine.json`",
        ),
    )
