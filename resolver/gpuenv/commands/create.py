"""From a bare machine to a verified environment: detect, decide, lock, build, train, write the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpuenv.commands.building import build_locked
from gpuenv.commands.context import Context, Outcome
from gpuenv.commands.locked import Locked, lock_for
from gpuenv.commands.saying import say_machine
from gpuenv.commands.seeing import Seen, see
from gpuenv.commands.verifying import Proof
from gpuenv.commands.wanted import check_fit, profile_of
from gpuenv.environment.build import Built
from gpuenv.errors import UsageError
from gpuenv.model.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions:
    """What `create` takes beyond the common options. Paths are relative to the project."""

    target: Path | None = None
    evidence: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOutcome(Outcome):
    """What was built from which lock; ``built.report`` is the proof."""

    profile: Profile
    locked: Locked
    built: Built
    evidence: str | None
    """The evidence's folder, relative to the project where it is inside; ``None`` where nothing was proved."""


def run(context: Context, options: CreateOptions) -> CreateOutcome:
    """Do the whole way. Whatever stood at the target stands there still when any step fails."""
    seen = see(context)
    profile = profile_of(context)
    say_machine(context, seen, profile)
    _refuse_unprovable(seen, options)
    check_fit(context, seen.machine, profile)
    locked = lock_for(context, seen=seen, profile=profile)
    target = context.project / (options.target or profile.environment)
    evidence = context.project / (options.evidence or Path("evidence") / profile.name)
    proof = Proof(
        context=context,
        seen=seen,
        profile=profile,
        lock=locked.lock,
        lock_name=locked.shown,
        folder=evidence,
        target=target,
    )
    built = build_locked(context, locked, target=target, proof=proof if options.verify else None)
    shown = context.shown(evidence) if options.verify else None
    return CreateOutcome(profile=profile, locked=locked, built=built, evidence=shown)


def _refuse_unprovable(seen: Seen, options: CreateOptions) -> None:
    """An environment for another machine can be built here, and proved only there."""
    if not seen.here and options.verify:
        raise UsageError(
            "an environment for another machine cannot be verified on this one",
            hints=("Add --no-verify to build it all the same, and run `gpuenv verify` on that machine",),
        )
