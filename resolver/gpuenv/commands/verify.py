"""Prove an environment that exists, by whatever tool it was made, and write the evidence."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from gpuenv import __version__
from gpuenv.dataclass import dataclass
from gpuenv.environment.target import is_ours
from gpuenv.errors import UsageError
from gpuenv.installed.environment import read_environment
from gpuenv.installed.marker import read_marker
from gpuenv.lock.model import Lock
from gpuenv.model.nodes import NodesReport
from gpuenv.model.profile import Profile
from gpuenv.model.verification import Check, Report
from gpuenv.shell import quote
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.environment import evidence_of, verified_name
from gpuenv.steps.lock import read_sound
from gpuenv.steps.lock_file import built_from
from gpuenv.steps.machine import detect_or_read, in_scope
from gpuenv.steps.nodes import meeting
from gpuenv.steps.probes import own_probes
from gpuenv.steps.profile import known_profile, load_profile
from gpuenv.steps.proof import Proof, accelerator
from gpuenv.verify import baseline as baselines
from gpuenv.verify import nodes_evidence
from gpuenv.verify.causes import Hints, hints_of
from gpuenv.verify.evidence import About
from gpuenv.verify.nodes import NodesAsked, run_together


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOutcome(Outcome):
    """The report of an environment; ``compared`` is ``None`` where no ``--baseline`` was named."""

    environment: str
    report: Report
    evidence: str
    compared: tuple[baselines.RunDifference, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesOutcome(Outcome):
    """What several hosts proved together, as this one saw it."""

    environment: str
    report: NodesReport
    evidence: str


def run(
    context: Context,
    *,
    environment: Path | None,
    folder: Path | None,
    baseline: Path | None,
    deep: bool = False,
) -> VerifyOutcome:
    """Verify; exit 1 when a check failed. With ``baseline`` the run is compared with an earlier one's evidence."""
    if context.options.machine is not None:
        raise UsageError("an environment is verified on this machine, not on one in a file")
    machine = detect_or_read(context)
    name = context.options.profile
    target = context.project / (environment or Path(load_profile(context).environment))
    read_environment(target)  # refuses what is no environment
    profile, lock, lock_name = _lock_of(context, target, name)
    old = baselines.read(context.project / baseline) if baseline is not None else None
    out = evidence_of(context, folder, verified_name(target))
    proof = Proof(
        context=context, machine=machine, profile=profile, lock=lock, lock_name=lock_name, folder=out, target=target,
        hints=_hints(context, target, profile, ours=is_ours(target)), deep=deep,
        probes=own_probes(context),
    )  # fmt: skip
    report = proof.run(target)
    failed = [check for check in report.checks if check.status == "failed"]
    return VerifyOutcome(
        environment=context.shown(target),
        report=report,
        evidence=context.shown(out),
        compared=None if old is None else baselines.compare(old, baselines.read(out / "evidence.json")),
        exit_code=1 if report.verdict == "failed" else 0,
        problems=() if report.verdict != "failed" else (_problem(context, target, out, failed),),
    )


def run_nodes(
    context: Context,
    *,
    environment: Path | None,
    folder: Path | None,
    nodes: str,
    rendezvous: str | None,
    wait: float,
) -> NodesOutcome:
    """Take part with this host in a proof of several; exit 1 where one did not come or is wrong."""
    if context.options.machine is not None:
        raise UsageError("an environment is verified on this machine, not on one in a file")
    asked = meeting(context.environ, nodes=nodes, rendezvous=rendezvous, wait=wait)
    machine = detect_or_read(context)
    target = context.project / (environment or Path(load_profile(context).environment))
    read_environment(target)  # refuses what is no environment
    profile, lock, _ = _lock_of(context, target, context.options.profile)
    # One folder may be shared by all nodes: each writes below its own name.
    out = evidence_of(context, folder, verified_name(target)) / f"node-{asked.node}"
    marker, facts = read_marker(target), in_scope(context, machine.facts)
    device = accelerator(lock, profile, facts)
    hints = _hints(context, target, profile, ours=is_ours(target))
    report = run_together(
        NodesAsked(
            environment=target,
            meeting=asked,
            gpus=facts.gpus if device == "cuda" else (),
            lock=marker.lock if marker is not None else "",
            deadline=profile.verification.deadline_seconds,
            hints=hints,
        ),
        accelerator=device,
        environ=context.environ,
        reporter=context.reporter,
    )
    about = About(
        created=datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z",
        gpuenv=__version__,
        command=f"gpuenv verify {quote(context.shown(target))} --nodes {quote(nodes)} --rendezvous {asked.endpoint}",
        environment=context.shown(target),
        profile=profile.name,
        lock_sha256=marker.lock if marker is not None else None,
        plan=profile.verification,
        gpus=tuple(gpu.uuid for gpu in facts.gpus),
    )
    nodes_evidence.write(out, report=report, about=about)
    failed = [check for check in report.checks if check.status == "failed"]
    return NodesOutcome(
        environment=context.shown(target),
        report=report,
        evidence=context.shown(out),
        exit_code=1 if report.verdict == "failed" else 0,
        problems=(_problem(context, target, out, failed),) if failed else (),
    )


def _lock_of(context: Context, target: Path, name: str | None) -> tuple[Profile, Lock | None, str]:
    """The profile and lock an environment was built from, as its marker says; any other is described by ``auto``."""
    marker = read_marker(target)
    wanted = name or (marker.profile if marker is not None else "auto")
    profile = load_profile(context, wanted) if name is not None else known_profile(context, wanted)
    path = built_from(context, wanted, marker)
    lock = read_sound(context, path, profile=wanted) if marker is not None or name is not None else None
    return profile or load_profile(context, "auto"), lock, context.shown(path) if lock is not None else ""


def _hints(context: Context, target: Path, profile: Profile, *, ours: bool) -> Hints:
    return Hints(
        profile=context.options.profile or (profile.name if ours else ""),
        environment=context.shown(target),
        named=target != context.project / profile.environment,
        ours=ours,
    )


def _problem(context: Context, target: Path, evidence: Path, failed: list[Check]) -> Failure:
    return Failure(
        code="verification-failed",
        message=f"{context.shown(target)} did not prove itself: {', '.join(check.title for check in failed)}",
        causes=tuple(f"{check.title}: {check.cause or check.seen}" for check in failed),
        hints=(*hints_of(failed), f"All that was seen: `cat {quote(context.shown(evidence / 'README.md'))}`"),
    )
