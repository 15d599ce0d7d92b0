"""Say what is wrong with this machine, this session and an environment, and the one command that fixes each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from gpuenv import knowledge as tables
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import beside, examine
from gpuenv.doctor.finding import Finding, worst_first
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.doctor.session import diagnose_session
from gpuenv.errors import UsageError
from gpuenv.installed.environment import EnvironmentFacts, read_environment
from gpuenv.lock.model import Lock
from gpuenv.machine import detect
from gpuenv.machine.checkup import check_up
from gpuenv.machine.detection import Detection
from gpuenv.machine.file import failure_in, parse_machine
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.lock import FOLDER, read_sound
from gpuenv.steps.machine import complete, machine_text
from gpuenv.steps.profile import load_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOutcome(Outcome):
    """Findings, the worst first. ``environment`` is ``None`` where there is none to look at."""

    environment: str | None
    findings: tuple[Finding, ...]


def run(context: Context, *, environment: Path | None, deep: bool = False) -> DoctorOutcome:
    """Diagnose; exit 1 where something is wrong enough that torch will not use the GPU, or fail.

    ``deep`` hashes every installed file.
    """
    detection, findings = _sent(context) if context.options.machine is not None else _here(context)
    target = context.project / (environment or load_profile(context).environment)
    facts: EnvironmentFacts | None = None
    try:
        facts = read_environment(target, shown=context.shown(target))
    except UsageError as error:
        if context.options.machine is None or environment is not None:
            findings.append(_none(context, target, error))
    if facts is not None:
        findings += _environment(context, facts, detection, deep=deep)
    wrong = any(finding.severity == "error" for finding in findings)
    return DoctorOutcome(
        environment=None if facts is None else context.shown(target),
        findings=worst_first(findings),
        exit_code=1 if wrong else 0,
    )


def _here(context: Context) -> tuple[Detection, list[Finding]]:
    """Look at this machine and this session, and at what only a diagnosis looks at."""
    environ = context.environ
    detection = detect.detect(environ=environ)
    checkup = check_up(detection, environ=environ)
    findings = diagnose_machine(detection, knowledge=tables.load(), environ=environ, checkup=checkup)
    return detection, [*findings, *diagnose_session(environ)]


def _sent(context: Context) -> tuple[Detection, list[Finding]]:
    """Take the machine from a file, as `gpuenv detect --json` printed it there, a failure included.

    Neither the session nor what only a closer look tells is in it, so that nothing is said of them.
    """
    text = machine_text(context)
    machine = parse_machine(text, origin=str(context.options.machine), failed=True)
    detection = Detection(machine=complete(machine), problem=failure_in(text))
    return detection, list(diagnose_machine(detection, knowledge=tables.load()))


def _none(context: Context, target: Path, error: UsageError) -> Finding:
    """There is nothing to look at, which is a finding too: the next command makes it."""
    free = not target.exists() or (target.is_dir() and not any(target.iterdir()))
    shown = context.shown(target)
    build = f"gpuenv create --profile {quote(context.options.profile)}" if context.options.profile else "gpuenv create"
    return Finding(
        subject="environment",
        severity="error",
        kind="no-environment",
        summary=error.message,
        detail="; ".join(error.causes),
        fix=f"{build} {quote(shown if free else beside(target, shown=shown))}",
    )


def _environment(context: Context, facts: EnvironmentFacts, detection: Detection, *, deep: bool) -> tuple[Finding, ...]:
    lock, path = _lock_of(context, facts)
    examination = examine(
        facts,
        environ=context.environ,
        machine=None if detection.problem is not None else complete(detection.machine),
        lock=lock,
        lock_path=path,
        deep=deep,
        shown=context.shown(facts.path),
        profile=context.options.profile or "",
    )
    return diagnose_environment(examination, knowledge=tables.load())


def _lock_of(context: Context, facts: EnvironmentFacts) -> tuple[Lock | None, Path | None]:
    """The lock an environment of ours was built from and its file, where it still stands in the project."""
    if facts.marker is None:
        return None, None
    path = context.project / FOLDER / facts.marker.lock_name
    lock = read_sound(context, path, profile=facts.marker.profile)
    return lock, None if lock is None else path
