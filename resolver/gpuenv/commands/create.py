"""From a bare machine to a verified environment: detect, decide, lock, build, train, write the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpuenv import profile as profiles
from gpuenv import select
from gpuenv.commands import deciding, verifying
from gpuenv.commands.context import Context, Outcome
from gpuenv.commands.keeping import open_store
from gpuenv.commands.locked import Locked, lock_for
from gpuenv.commands.seeing import Seen, say_machine, see
from gpuenv.environment.build import BuildOptions, Built, build
from gpuenv.environment.interpreters import find_interpreters, require_interpreter
from gpuenv.environment.uv import find_uv
from gpuenv.errors import UsageError
from gpuenv.model.profile import Profile
from gpuenv.model.verification import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOptions:
    """What `create` takes beyond the common options. Paths are relative to the project."""

    target: Path | None = None
    evidence: Path | None = None
    verify: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateOutcome(Outcome):
    seen: Seen
    profile: Profile
    locked: Locked
    built: Built
    report: Report | None
    evidence_shown: str | None
    """The evidence's folder, relative to the project where it is inside."""


def run(context: Context, options: CreateOptions) -> CreateOutcome:
    """Do the whole way. Whatever stood at the target stands there still when any step fails."""
    seen = see(context)
    profile = profiles.load(context.wishes.profile or "auto", project=context.project, user=context.config)
    say_machine(context, seen, profile)
    refuse_unprovable(seen, options)
    deciding.check_fit(
        profile, seen, select.Request(pythons=(), gpus=context.wishes.gpus, variant=context.wishes.variant)
    )
    locked = lock_for(context, seen=seen, profile=profile)
    target = context.project / (options.target or profile.environment)
    folder = context.project / (options.evidence or Path("evidence") / profile.name)
    proof = verifying.Proof(
        context=context,
        seen=seen,
        profile=profile,
        lock=locked.lock,
        lock_name=locked.shown,
        folder=folder,
        target=target,
    )
    built = _build(context, locked, target, proof if options.verify else None)
    return CreateOutcome(
        seen=seen,
        profile=profile,
        locked=locked,
        built=built,
        report=built.report,
        evidence_shown=verifying.shown(folder, context.project) if options.verify else None,
    )


def refuse_unprovable(seen: Seen, options: CreateOptions) -> None:
    """An environment for another machine can be built here, and proved only there."""
    if not seen.here and options.verify:
        raise UsageError(
            "an environment for another machine cannot be verified on this one",
            hints=("Add --no-verify to build it all the same, and run `gpuenv verify` on that machine",),
        )


def _build(context: Context, locked: Locked, target: Path, proof: verifying.Proof | None) -> Built:
    uv = find_uv(context.environ, explicit=context.uv)
    interpreters = find_interpreters(uv, cwd=context.project, reporter=context.reporter, downloads=not context.offline)
    python = require_interpreter(locked.lock.inputs.target.python, interpreters)
    built = build(
        locked.path,
        locked.lock,
        target=target,
        python=python,
        uv=uv,
        state=context.state,
        reporter=context.reporter,
        verify=proof,
        options=BuildOptions(
            offline=context.offline,
            sync_from=_from_store(context, locked),
            python_downloads=python.path is None,
            extra_env=deciding.uv_environment(context, deciding.source_plan(context)),
        ),
    )
    context.reporter.say(
        f"{'Replaced' if built.replaced else 'Built'} {target.name}: {len(locked.lock.packages)} packages, "
        f"{built.files} files, compared with the wheels' RECORD"
    )
    return built


def _from_store(context: Context, locked: Locked) -> Path | None:
    """A copy of the lock that takes what the store keeps from there; ``None`` where it keeps nothing of it."""
    from gpuenv.lock import codec

    store = open_store(context)
    local = store.localized(locked.lock)
    if local == locked.lock:
        return None
    folder = context.state / "localized"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / locked.path.name
    path.write_text(codec.render(local), encoding="utf-8")
    return path
