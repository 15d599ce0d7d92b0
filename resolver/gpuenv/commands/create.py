"""From a bare machine to a verified environment: detect, decide, lock, build, train, write the evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.dataclass import dataclass
from gpuenv.environment.previous import FailedProofError, failed_place
from gpuenv.errors import UsageError, VerificationError
from gpuenv.installed.marker import Marker
from gpuenv.model.profile import ENVIRONMENT, Profile
from gpuenv.shell import quote, remove_folders
from gpuenv.steps.activation import Entrance, entrance
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.environment import (
    evidence_of,
    refuse_another_profile,
    refuse_target,
    refuse_to_discard,
    target_of,
)
from gpuenv.steps.environments import register
from gpuenv.steps.hashed_lock import of_lock, standing_lock
from gpuenv.steps.lock import Locked, say_newer
from gpuenv.steps.lock_file import write_lock
from gpuenv.steps.machine import TargetMachine, detect_or_read, say_machine
from gpuenv.steps.profile import check_fit, load_profile
from gpuenv.steps.project import say_project
from gpuenv.steps.proof import Proof
from gpuenv.steps.reuse import earlier_proof, standing_environment
from gpuenv.system.files import require_writable
from gpuenv.verify.causes import Hints, hints_of

if TYPE_CHECKING:  # what a run needs is loaded where it does that: one that finds nothing changed does little
    from gpuenv.environment.build import Built
    from gpuenv.model.verification import Report
    from gpuenv.steps.plan import Planned
    from gpuenv.verify.earlier import EarlierProof
    from gpuenv.verify.probes import OwnProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions:
    """What `create` takes beyond the common options. Paths are relative to the project."""

    target: Path | None = None
    evidence: Path | None = None
    verify: bool = True
    verify_again: bool = False
    """Prove an environment again although nothing changed since its last proof."""
    rebuild: bool = False
    """Build although nothing changed since the last build."""
    keep_failed: bool = False
    deep: bool = False
    """Hash every installed file."""
    replace: bool = False
    """Replace the environment of another profile."""
    discard_added: bool = False
    """Give up the packages that were added to the environment since it was built."""
    write: bool = False
    """Write what was relaxed into the project's files."""
    keep_previous: bool = False
    """Keep the environment that is replaced beside the new one."""
    lock: Path | None = None
    """A lock to build from in place of the profile's own, which becomes that one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOutcome(Outcome):
    """What stands at the target now, and from which lock."""

    profile: Profile
    locked: Locked
    environment: Path
    marker: Marker
    entrance: Entrance
    built: Built | None
    """``None`` where what stood there is what the lock says: nothing was built."""
    report: Report | None
    """What was proved in this run."""
    proved: EarlierProof | None
    """The earlier proof that still holds; ``None`` where it was proved in this run, or was not to be."""
    evidence: str | None
    """The evidence's folder, relative to the project where it is inside; ``None`` where nothing was proved."""


def run(context: Context, options: CreateOptions) -> CreateOutcome:
    """Do the whole way. Whatever stood at the target stands there still when any step fails."""
    _refuse_write(context, options)
    context = of_lock(context, options.lock)
    profile = load_profile(context)
    target = target_of(context, options.target, profile)
    refuse_target(context, target)
    refuse_another_profile(context, target, profile, replace=options.replace)
    machine = detect_or_read(context)
    say_machine(context, machine, profile)
    say_project(context)
    _refuse_unprovable(context, machine, options)
    check_fit(context, machine.facts, profile)
    evidence = evidence_of(context, options.evidence, profile.name)
    require_writable(context.state, what="gpuenv's own folder")
    if options.verify:
        require_writable(evidence, what="the folder of the evidence")
    locked = standing_lock(context, machine=machine, profile=profile, named=options.lock)
    locked = locked or _new_lock(context, machine, profile)
    if options.write:
        locked = _written_back(context, locked)
    refuse_to_discard(context, target, profile, locked.lock, discard=options.discard_added)
    proof = Proof(
        context=context, machine=machine, profile=profile, lock=locked.lock, lock_name=locked.shown, folder=evidence,
        target=target, hints=_hints(context, locked, profile, target, keep=options.keep_failed), deep=options.deep,
        failed_folder=failed_place(evidence), probes=_own_probes(context) if options.verify else (),
    )  # fmt: skip
    newer = cache(lambda: say_newer(context, locked, machine=machine, profile=profile))  # once, wherever it is first
    current = None if options.rebuild else _reused(context, locked, proof, options, newer)
    return current or _built(context, locked, proof, options, newer)


def _built(
    context: Context, locked: Locked, proof: Proof, options: CreateOptions, newer: Callable[[], None]
) -> CreateOutcome:
    """A new environment at the target, proved before it is put there. ``newer`` is done while uv installs."""
    from gpuenv.steps.build import staged_environment

    target, kept = proof.target, options.keep_failed
    try:
        with staged_environment(
            context, locked, target=target, deep=options.deep, keep_failed=kept, keep_previous=options.keep_previous,
            meanwhile=newer,
        ) as environment:  # fmt: skip
            report = proof.run(environment.path) if options.verify else None
            built = environment.swap_in(report)
    except FailedProofError as error:
        raise unproved(context, error, proof) from error
    shown = context.shown(proof.folder) if options.verify else None
    return CreateOutcome(
        profile=proof.profile, locked=locked, environment=built.path, marker=built.marker, built=built, report=report,
        proved=None, evidence=shown, entrance=_entrance(context, proof.profile, proof.target),
    )  # fmt: skip


def _new_lock(context: Context, machine: TargetMachine, profile: Profile) -> Locked:
    from gpuenv.steps.new_lock import new_lock

    return new_lock(context, machine=machine, profile=profile)


def _refuse_write(context: Context, options: CreateOptions) -> None:
    if options.write:
        from gpuenv.steps.write_back import require_relax

        require_relax(context, write=True)


def _written_back(context: Context, locked: Locked) -> Locked:
    """The lock with what was relaxed written into the project's files."""
    from gpuenv.steps.write_back import write_back

    lock = write_back(context, locked.lock, dry_run=False)
    write_lock(locked.path, lock)
    return replace(locked, lock=lock)


def _own_probes(context: Context) -> tuple[OwnProbe, ...]:
    from gpuenv.steps.probes import own_probes

    return own_probes(context)


def _reused(
    context: Context, locked: Locked, proof: Proof, options: CreateOptions, newer: Callable[[], None]
) -> CreateOutcome | None:
    """What stands at the target, where it is what the lock says and proves itself, or has done so; else ``None``."""
    standing = standing_environment(context, locked, target=proof.target, deep=options.deep)
    if standing is None:
        return None
    register(context, standing.path)
    newer()
    proved, report = None, None
    if options.verify:
        found = "asked for with --verify" if options.verify_again else earlier_proof(proof, standing)
        if not isinstance(found, str):
            proved = found
        else:
            shown = context.shown(proof.target)
            context.reporter.say(f"{shown} is as it was built, and is proved again: {found}")
            report = proof.run(standing.path)
            if report.verdict == "failed":
                context.reporter.say(f"{shown} did not prove itself: building it again")
                return None
    folder = proof.folder if proved is None else proved.folder
    return CreateOutcome(
        profile=proof.profile, locked=locked, environment=standing.path, marker=standing.marker, built=None,
        report=report, proved=proved, evidence=context.shown(folder) if options.verify else None,
        entrance=_entrance(context, proof.profile, proof.target),
    )  # fmt: skip


def _entrance(context: Context, profile: Profile, target: Path) -> Entrance:
    typed = context.options.origins.get("profile") == "--profile"  # the next command, without it, is about another
    again = ["gpuenv create --verify", *(["--profile", quote(profile.name)] if typed else [])]
    if target != context.project / profile.environment:
        again.append(quote(context.shown(target)))
    return entrance(
        target,
        shown=context.shown(target),
        named=target != context.project / (ENVIRONMENT if typed else profile.environment),
        again=" ".join(again),
        environ=context.environ,
    )


def dry_run(context: Context, options: CreateOptions) -> Planned:
    """Say what :func:`run` would do, and what it would stop at. Nothing is written anywhere."""
    from gpuenv.steps.plan import plan

    context = of_lock(context, options.lock)
    profile = load_profile(context)
    target = target_of(context, options.target, profile)
    refuse_target(context, target)
    machine = detect_or_read(context)
    say_machine(context, machine, profile)
    say_project(context)
    _refuse_unprovable(context, machine, options)
    check_fit(context, machine.facts, profile)
    evidence = evidence_of(context, options.evidence, profile.name)
    return plan(
        context,
        profile=profile,
        machine=machine,
        target=target,
        evidence=evidence if options.verify else None,
        replace_other=options.replace,
        discard_added=options.discard_added,
        keep_previous=options.keep_previous,
        rebuild=options.rebuild,
        named=options.lock,
    )


def _hints(context: Context, locked: Locked, profile: Profile, target: Path, *, keep: bool) -> Hints:
    return Hints(
        profile=context.options.profile or profile.name,
        environment=context.shown(target),
        named=target != context.project / profile.environment,
        doing="create",
        fresh=locked.decided is not None,
        kept=context.shown(failed_place(target)) if keep else "",
    )


def unproved(context: Context, error: FailedProofError, proof: Proof) -> VerificationError:
    """Say what failed, where it stands, and what can be done about it that was not just done."""
    from gpuenv.steps.advice import retyped

    failed = [check for check in error.report.checks if check.status == "failed"]
    seen = context.shown(proof.folder_for(error.report) / "README.md")
    hints, keep = [*hints_of(failed), f"All that was seen: `cat {quote(seen)}`"], proof.hints.create("--keep-failed")
    if context.words[:1] in (("add",), ("remove",)):  # which gave their change up: `create` would build what was before
        hints = [hint for hint in hints if keep not in hint]
        only, all_the_same = (
            retyped([*context.words, each], {}, profile="") for each in ("--lock-only", "--no-verify")
        )
        hints.append(f"Keep the environment for a look: `{only}`, then `{keep}`")
        hints.append(f"Build it unproved, trusting it all the same: `{all_the_same}`")
        return VerificationError(error.message, causes=error.causes, hints=hints)
    if error.kept is None:
        hints.append(f"Keep the environment for a look: `{keep}`")
    else:
        kept = context.shown(error.kept)
        hints.append(f"Look at the environment: `gpuenv doctor {quote(kept)}`, and remove it: `{remove_folders(kept)}`")
    hints.append(f"Build it unproved, trusting it all the same: `{proof.hints.create('--no-verify')}`")
    return VerificationError(error.message, causes=error.causes, hints=hints)


def _refuse_unprovable(context: Context, machine: TargetMachine, options: CreateOptions) -> None:
    """An environment for another machine can be built here, and proved only there."""
    if not machine.here and options.verify:
        from gpuenv.steps.advice import retyped

        raise UsageError(
            "an environment for another machine cannot be verified on this one",
            hints=(
                f"Build it all the same: `{retyped([*(context.words or ('create',)), '--no-verify'], {}, profile='')}`",
                "Then prove it on that machine: `gpuenv verify`",
            ),
        )
