"""Write the lock of a profile, or say what would change and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gpuenv import knowledge as tables
from gpuenv import profile as profiles
from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError, GpuenvError, IntegrityError, UsageError
from gpuenv.lock.check import Reason, is_broken
from gpuenv.lock.codec import to_requirements
from gpuenv.lock.diff import Diff, diff
from gpuenv.lock.fit import fits_machine
from gpuenv.lock.hashed import render_hashed
from gpuenv.lock.model import Lock
from gpuenv.model.profile import Profile
from gpuenv.steps import lock as locks
from gpuenv.steps import machine as machines
from gpuenv.steps import new_lock
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.decision import Decided
from gpuenv.steps.dependencies import LockRequest
from gpuenv.steps.downloads import keep, remember
from gpuenv.steps.lock_check import check
from gpuenv.steps.lock_file import LockFile, find_lock, lock_path, read_lock, say_foreign, write_lock
from gpuenv.steps.lock_options import recorded_options, with_lock_options
from gpuenv.steps.machine import MachineClass
from gpuenv.steps.profile import check_fit, load_profile
from gpuenv.steps.project import say_project
from gpuenv.steps.signed import fetch_signed
from gpuenv.steps.write_back import require_relax, write_back
from gpuenv.system.files import write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class LockOptions:
    """What `lock` takes beyond the common options."""

    check: bool = False
    upgrade: bool = False
    upgrade_packages: tuple[str, ...] = ()
    everything: bool = False
    dry_run: bool = False
    machines: tuple[Path, ...] = ()
    classes: tuple[MachineClass, ...] = ()
    """One lock each, as ``machines`` gives that are grouped already."""
    command: str = ""
    """What makes these locks again, where it is not `gpuenv lock`."""
    keep: bool = False
    single_source: bool = False
    requirements: bool = False
    hashed: bool = False
    """Write the lock as hashed requirements, too."""
    write: bool = False
    """Write what was relaxed into the project's files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneLock:
    """What happened to one lock. ``path`` is relative to the project; ``reasons`` are those of a check."""

    profile: str
    path: str
    action: str
    """``written``, ``unchanged``, ``would-write``, ``checked`` or ``failed``."""
    lock: Lock | None = None
    change: Diff | None = None
    reasons: tuple[Reason, ...] = ()
    problem: Failure | None = None
    requirements: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockOutcome(Outcome):
    """What happened to each lock, in the order of the profiles' names."""

    locks: tuple[OneLock, ...]
    dry_run: bool
    requests: int = 0


def run(context: Context, options: LockOptions) -> LockOutcome:
    """Lock one profile, or every one. One that fails does not keep the others from being locked."""
    require_relax(context, write=options.write)
    names = _profiles(context, options)
    done: list[OneLock] = []
    for name in names:
        profile = load_profile(context, name)
        try:
            done += _one_profile(context, profile, options)
        except GpuenvError as error:
            if len(names) == 1:
                raise
            problem = Failure.of(error)
            context.reporter.say(f"{name}: {error.message}")
            path = context.shown(lock_path(context, name))
            done.append(OneLock(profile=name, path=path, action="failed", problem=problem))
    problems = tuple(row.problem for row in done if row.problem is not None)
    problems += tuple(_problem(row) for row in done if row.reasons)
    broken = any(problem.code == "integrity" for problem in problems)
    return LockOutcome(
        locks=tuple(done),
        dry_run=options.dry_run,
        exit_code=5 if broken else 1 if problems else 0,
        problems=problems,
    )


def _profiles(context: Context, options: LockOptions) -> tuple[str, ...]:
    if not options.everything:
        return (context.options.profile or "auto",)
    if context.options.profile is not None:
        raise UsageError("--all and --profile do not go together", hints=("Leave one of them out",))
    found = profiles.find_all(project=context.project, user=context.config)
    # `auto` follows the machine it is run on: there is nothing to share in its lock.
    return tuple(row.name for row in found if row.name != "auto")


def _one_profile(context: Context, profile: Profile, options: LockOptions) -> list[OneLock]:
    if options.machines or options.classes:
        found = options.classes or machines.classes(context, options.machines)
        return [_one(context, each.machine, profile, options, each) for each in found]
    if options.everything:
        context = machines.with_reference(context, profile)
    return [_one(context, machines.detect_or_read(context), profile, options, None)]


def _one(
    context: Context,
    machine: machines.TargetMachine,
    profile: Profile,
    options: LockOptions,
    group: machines.MachineClass | None,
) -> OneLock:
    name = profile.name if group is None else f"{profile.name}-{group.name}"
    found = _standing(context, name, machine, profile, options, group)
    path, before, model = found.path, found.lock, found.lock or found.foreign
    shown = context.shown(path)
    say_foreign(context, found, name)
    asked, context = context, with_lock_options(context, model, say=not options.check)
    machines.say_machine(context, machine, profile)
    say_project(context)
    check_fit(context, machine.facts, profile)
    _refuse_unknown(options.upgrade_packages, before, shown)
    if options.check:
        verdict = check(context, machine=machine, profile=profile, lock=before, shown=shown)
        return OneLock(
            profile=profile.name,
            path=shown,
            action="checked",
            lock=before,
            change=verdict.replacement,
            reasons=verdict.reasons,
        )
    if before is not None and not _asked_to_change(options) and _holds(asked, machine, profile, before):
        locks.require_sound(context, before, profile=profile, shown=shown)
        context.reporter.say(f"Found up-to-date lockfile at: {shown}")
        return _kept(context, options, OneLock(profile=profile.name, path=shown, action="unchanged", lock=before), None)
    single = options.single_source or (model is not None and model.decision.single_source)
    decided, lock = new_lock.decide_and_lock(
        _kept_family(context, before, options),
        machine=machine,
        profile=profile,
        how=LockRequest(
            previous=before,
            preferred=None if before is None or options.upgrade else before.without(options.upgrade_packages),
            tentative=options.dry_run,
            single_source=single,
            options=recorded_options(context.options),
            command=options.command
            or new_lock.command_of(context, profile, single_source=single, machines=options.machines),
        ),
    )
    if options.write:
        lock = write_back(context, lock, dry_run=options.dry_run)
    change = None if before is None else diff(before, lock)
    row = OneLock(profile=profile.name, path=shown, action="would-write", lock=lock, change=change)
    if options.dry_run:
        return row
    written = write_lock(path, lock)
    context.reporter.say(f"{'Wrote' if written else 'Unchanged:'} lockfile {shown}: {len(lock.packages)} packages")
    return _kept(context, options, replace(row, action="written" if written else "unchanged"), decided)


def _standing(
    context: Context,
    name: str,
    machine: machines.TargetMachine,
    profile: Profile,
    options: LockOptions,
    group: MachineClass | None,
) -> LockFile:
    """What stands there: of a profile its own lock, and beside one for another platform that of the machine's class."""

    def read(path: Path) -> Lock | None:
        return _before(context, path, options, profile)

    own = lock_path(context, name)
    if group is not None or not own.is_file():
        return LockFile(path=own, lock=read(own))
    return find_lock(context, name, machines.in_scope(context, machine.facts), read=read)


def _before(context: Context, path: Path, options: LockOptions, profile: Profile) -> Lock | None:
    """The lock that stands there. One that cannot be read is made again where that is asked for."""
    shown = context.shown(path)
    try:
        return read_lock(path, shown=shown, profile=profile.name)
    except (ConfigurationError, IntegrityError) as error:
        if not options.upgrade:
            raise
        context.reporter.warn(f"{error.message}: making it again without it")
        return None


def _kept(context: Context, options: LockOptions, row: OneLock, decided: Decided | None) -> OneLock:
    """Store the wheels, and write the requirements file, where that is asked for."""
    assert row.lock is not None
    profile = load_profile(context, row.profile)
    if options.keep or profile.keep:
        fetch_signed(context, row.lock)
        keep(context, context.project / row.path, row.lock)
    else:
        remember(context, context.project / row.path, row.lock)
    if not options.requirements and not options.hashed:
        return row
    path = (context.project / row.path).with_suffix(".txt")
    path = path.with_name(path.name.replace("pylock.", "hashed." if options.hashed else "requirements."))
    # An index on the command line is this machine's, and the form has no address in it.
    bare = replace(row.lock, command=f"gpuenv lock --profile {row.profile} --format hashed")
    text = render_hashed(bare) if options.hashed else to_requirements(row.lock)
    write_atomic(path, text, what="the requirements file")
    context.reporter.say(f"Wrote {context.shown(path)}")
    return replace(row, requirements=context.shown(path))


def _asked_to_change(options: LockOptions) -> bool:
    return options.upgrade or bool(options.upgrade_packages) or options.dry_run


def _holds(context: Context, machine: machines.TargetMachine, profile: Profile, lock: Lock) -> bool:
    if not locks.still_meant(context, profile, lock):
        return False
    return fits_machine(lock, machines.in_scope(context, machine.facts), tables.load()) is None


def _kept_family(context: Context, before: Lock | None, options: LockOptions) -> Context:
    """With ``--upgrade-package`` of something else, the family stays what it is."""
    family = tables.load().family
    if before is None or options.upgrade or not options.upgrade_packages or family & set(options.upgrade_packages):
        return context
    decision = before.decision
    constraints = replace(
        context.options,
        torch=f"=={decision.torch}",
        variant=decision.variant,
        channel="nightly" if decision.channel == "nightly" else "stable",
        python=before.inputs.target.python,
    )
    return replace(context, options=constraints)


def _refuse_unknown(names: Sequence[str], lock: Lock | None, shown: str) -> None:
    """A name that is not locked cannot be upgraded: it is a slip of the pen, or of another profile."""
    unknown = sorted(set(names) - set(lock.by_name)) if lock is not None else []
    if unknown:
        raise UsageError(
            f"--upgrade-package {unknown[0]}: {shown} locks no such package",
            hints=(f"It locks {', '.join(sorted(lock.by_name))}",) if lock is not None else (),
        )


def _problem(row: OneLock) -> Failure:
    broken = is_broken(row.reasons)
    hint = f"See what would change: `{_again(row)} --upgrade --dry-run`"
    if broken:
        hint = "Compare with a second machine; where the new file is right, delete the lock and lock again"
    does = "locks a file that its index now describes as another" if broken else "does not hold any more"
    return Failure(
        code="integrity" if broken else "lock-outdated",
        message=f"{row.path} {does}",
        causes=tuple(reason.sentence for reason in row.reasons),
        hints=(hint,),
    )


def _again(row: OneLock) -> str:
    """The command that made a lock."""
    return row.lock.command if row.lock is not None else f"gpuenv lock --profile {row.profile}"
