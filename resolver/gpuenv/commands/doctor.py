"""Say what is wrong with this machine, this session and an environment, and the one command that mends each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpuenv import knowledge as tables
from gpuenv.commands import locking
from gpuenv.commands.context import Context, Outcome
from gpuenv.commands.seeing import complete, machine_text
from gpuenv.commands.wanted import profile_of
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import examine
from gpuenv.doctor.finding import Finding, worst_first
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.doctor.session import diagnose_session
from gpuenv.environment.marker import read_marker
from gpuenv.environment.target import is_ours
from gpuenv.lock.model import Lock
from gpuenv.machine import detect
from gpuenv.machine.checkup import check_up
from gpuenv.machine.file import failure_in, parse_machine


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOutcome(Outcome):
    """Findings, the worst first. ``environment`` is ``None`` where there is none to look at."""

    environment: str | None
    findings: tuple[Finding, ...]


def run(context: Context, *, environment: Path | None) -> DoctorOutcome:
    """Diagnose; exit 1 where something is wrong enough that torch will not use the GPU, or fail."""
    detection, findings = _sent(context) if context.wishes.machine is not None else _here(context)
    target = _target(context, environment)
    if target is not None:
        findings += _environment(context, target, detection)
    wrong = any(finding.severity == "error" for finding in findings)
    return DoctorOutcome(
        environment=None if target is None else context.shown(target),
        findings=worst_first(findings),
        exit_code=1 if wrong else 0,
    )


def _here(context: Context) -> tuple[detect.Detection, list[Finding]]:
    """Look at this machine and this session, and at what only a diagnosis looks at."""
    environ = context.environ
    detection = detect.detect(environ=environ)
    checkup = check_up(detection, environ=environ)
    findings = diagnose_machine(detection, knowledge=tables.load(), environ=environ, checkup=checkup)
    return detection, [*findings, *diagnose_session(environ)]


def _sent(context: Context) -> tuple[detect.Detection, list[Finding]]:
    """Take the machine from a file, as `gpuenv detect --json` printed it there, a failure included.

    Neither the session nor what only a closer look tells is in it, so that nothing is said of them.
    """
    text = machine_text(context)
    machine = parse_machine(text, origin=str(context.wishes.machine), failed=True)
    detection = detect.Detection(machine=complete(machine), problem=failure_in(text))
    return detection, list(diagnose_machine(detection, knowledge=tables.load()))


def _target(context: Context, environment: Path | None) -> Path | None:
    """The environment that was named, else the profile's where it exists."""
    if environment is not None:
        return context.project / environment
    target = context.project / profile_of(context).environment
    return target if target.is_dir() else None


def _environment(context: Context, target: Path, detection: detect.Detection) -> tuple[Finding, ...]:
    lock, path = _lock_of(context, target)
    examination = examine(
        target,
        environ=context.environ,
        machine=None if detection.problem is not None else complete(detection.machine),
        lock=lock,
        lock_path=path,
    )
    return diagnose_environment(examination, knowledge=tables.load())


def _lock_of(context: Context, target: Path) -> tuple[Lock | None, Path | None]:
    """The lock an environment of ours was built from and its file, where it still stands in the project."""
    marker = read_marker(target) if is_ours(target) else None
    if marker is None:
        return None, None
    path = context.project / locking.FOLDER / marker.lock_name
    lock = locking.read_lock(path, shown=context.shown(path))
    return lock, None if lock is None else path
