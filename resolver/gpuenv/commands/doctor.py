"""Say what is wrong with this machine, this session and an environment, and the one command that fixes each."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from gpuenv import __version__
from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.doctor import report as reports
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import Examination, beside, examine
from gpuenv.doctor.finding import Finding, worst_first
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.doctor.redaction import Redaction
from gpuenv.doctor.session import diagnose_session
from gpuenv.errors import UsageError
from gpuenv.installed.environment import EnvironmentFacts, read_environment
from gpuenv.lock.model import Lock
from gpuenv.machine import detect
from gpuenv.machine.cuda import check_up
from gpuenv.machine.detection import Detection
from gpuenv.machine.file import failure_in, parse_machine
from gpuenv.machine.notes import notes_of_system
from gpuenv.model.library import PackageFacts
from gpuenv.shell import quote
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.lock import read_sound
from gpuenv.steps.lock_file import FOLDER
from gpuenv.steps.machine import complete, machine_text
from gpuenv.steps.profile import load_profile
from gpuenv.system.files import read_text, write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOutcome(Outcome):
    """Findings, the worst first. ``environment`` is ``None`` where there is none to look at."""

    environment: str | None
    findings: tuple[Finding, ...]
    report: str | None = None
    """The file that was written to be sent, as a person names it."""


def run(context: Context, *, environment: Path | None, deep: bool = False, report: Path | None = None) -> DoctorOutcome:
    """Diagnose; exit 1 where something is wrong enough that torch will not use the GPU, or fail.

    ``deep`` hashes every installed file. ``report`` is the file to write for somebody else to read.
    """
    if report is not None and (context.project / report).is_dir():
        hint = f"Name the environment first: `gpuenv doctor {quote(str(report))} --report`"
        raise UsageError(f"--report: {report} is a folder, not a file to write", hints=(hint,))
    detection, findings = _sent(context) if context.options.machine is not None else _here(context)
    target = context.project / (environment or load_profile(context).environment)
    facts: EnvironmentFacts | None = None
    try:
        facts = read_environment(target, shown=context.shown(target))
    except UsageError as error:
        if context.options.machine is None or environment is not None:
            findings.append(_none(context, target, error))
    extensions: tuple[PackageFacts, ...] = ()
    if facts is not None:
        examination = _examine(context, facts, detection, deep=deep)
        extensions = examination.extensions
        findings += diagnose_environment(examination, knowledge=tables.load())
    ordered = worst_first(findings)
    if report is not None:
        made = _report(context, detection, facts, extensions, ordered)
        write_atomic(context.project / report, made, what="the report")
    wrong = any(finding.severity == "error" for finding in findings)
    return DoctorOutcome(
        environment=None if facts is None else context.shown(target),
        findings=ordered,
        report=None if report is None else context.shown(context.project / report),
        exit_code=1 if wrong else 0,
    )


def show(context: Context, path: Path) -> DoctorOutcome:
    """Show the findings of a report that somebody sent, as the doctor said them there."""
    text = read_text(context.project / path, what="the report", shown=str(path), most=reports.LARGEST)
    environment, findings = reports.read_findings(text, origin=str(path))
    wrong = any(finding.severity == "error" for finding in findings)
    return DoctorOutcome(environment=environment, findings=worst_first([*findings]), exit_code=1 if wrong else 0)


def _report(
    context: Context,
    detection: Detection,
    facts: EnvironmentFacts | None,
    extensions: tuple[PackageFacts, ...],
    findings: tuple[Finding, ...],
) -> str:
    environ, options = context.environ, context.options
    installed = () if facts is None else facts.versions
    redaction = Redaction.of(
        environ,
        home=os.path.expanduser("~") if "HOME" not in environ else environ["HOME"],  # noqa: PTH111 - Path raises
        project=str(context.project),
        user=environ.get("USER") or environ.get("LOGNAME") or environ.get("USERNAME") or "",
        host=platform.node(),
        said=[each for each in (options.torch_index, options.index, *options.find_links) if each],
        words=(*installed, "torch", "triton", "cuda", "gpu", "driver", "python", "nvidia", detection.machine.os),
    )
    here = options.machine is None  # else neither this session nor this system is that machine's
    versions = {"gpuenv": __version__}
    if here:
        versions |= {"python": platform.python_version(), "kernel": platform.release()}
    return reports.make_report(
        circumstances=reports.Circumstances(
            created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            versions=versions,
            settings=options.origins,
            variables=environ if here else (),
        ),
        detection=detection,
        facts=facts,
        shown="" if facts is None else context.shown(facts.path),
        extensions=extensions,
        findings=findings,
        redaction=redaction,
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
    detection = Detection(machine=complete(machine), problem=failure_in(text), notes=notes_of_system(machine))
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


def _examine(context: Context, facts: EnvironmentFacts, detection: Detection, *, deep: bool) -> Examination:
    lock, path = _lock_of(context, facts)
    return examine(
        facts,
        environ=context.environ,
        machine=None if detection.problem is not None else complete(detection.machine),
        lock=lock,
        lock_path=path,
        deep=deep,
        shown=context.shown(facts.path),
        profile=context.options.profile or "",
    )


def _lock_of(context: Context, facts: EnvironmentFacts) -> tuple[Lock | None, Path | None]:
    """The lock an environment of ours was built from and its file, where it still stands in the project."""
    if facts.marker is None:
        return None, None
    path = context.project / FOLDER / facts.marker.lock_name
    lock = read_sound(context, path, profile=facts.marker.profile)
    return lock, None if lock is None else path
