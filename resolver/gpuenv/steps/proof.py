"""Prove an environment and write the evidence: the step that `create` and `verify` share."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gpuenv import __version__
from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.errors import NoSpaceError
from gpuenv.installed.marker import lock_digest
from gpuenv.lock.model import Lock
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.steps.context import Context
from gpuenv.steps.machine import TargetMachine, in_scope
from gpuenv.steps.pythons import uv_of

if TYPE_CHECKING:  # a proof that holds is not run again
    from gpuenv.installed.environment import EnvironmentFacts
    from gpuenv.model.verification import Report
    from gpuenv.verify.causes import Hints
    from gpuenv.verify.expected import Expected
    from gpuenv.verify.probes import OwnProbe


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A verification that is ready to run.
    ``lock`` is ``None`` for an environment that gpuenv did not lock: then it is described, not compared.
    """

    context: Context
    machine: TargetMachine
    profile: Profile
    lock: Lock | None
    lock_name: str
    """The lock as evidence names it: relative to the project."""
    folder: Path
    """Where the evidence goes."""
    target: Path
    """The environment as a person knows it, while it may still be staged elsewhere."""
    hints: Hints
    """What was done, and how its commands are spelled."""
    probes: tuple[OwnProbe, ...] = ()
    """Those that the project brings."""
    deep: bool = False
    """Hash every installed file."""
    failed_folder: Path | None = None
    """Where the evidence goes instead when the proof fails: that of the environment before it stays."""

    def folder_for(self, report: Report) -> Path:
        """Where the evidence of a run lies."""
        failed = report.verdict == "failed" and self.failed_folder is not None
        return self.failed_folder if failed and self.failed_folder else self.folder

    def run(self, environment: Path) -> Report:
        """Verify the environment that stands at a folder, and write the evidence."""
        from gpuenv.installed.environment import read_environment
        from gpuenv.verify.verification import run_verification

        machine = in_scope(self.context, self.machine.facts)
        facts = read_environment(environment)
        expected = expected_of(self.lock, machine, facts, lock_name=self.lock_name, profile=self.profile.name)
        expected = replace(expected, hints=self.hints, probes=self.probes, environment=self.context.shown(self.target))
        device = accelerator(self.lock, self.profile, machine)
        report = run_verification(
            environment,
            plan=self.profile.verification,
            accelerator=device,
            expected=expected,
            machine=machine,
            environ=self.context.environ,
            reporter=self.context.reporter,
            deep=self.deep,
        )
        write_evidence(self, report)
        for check in report.checks:
            if check.status == "unusual":
                self.context.reporter.warn(f"{check.title} is unusual: {check.cause or check.seen}")
        return report


def accelerator(lock: Lock | None, profile: Profile, machine: Machine) -> Literal["cuda", "cpu"]:
    """What has to be proved: what the lock decided, else what the profile asks for on this machine."""
    if lock is not None:
        return lock.decision.accelerator
    return "cpu" if profile.accelerator == "cpu" or not machine.gpus else "cuda"


def expected_of(
    lock: Lock | None, machine: Machine, facts: EnvironmentFacts, *, lock_name: str, profile: str
) -> Expected:
    """What the environment must be: the lock's word where there is one."""
    from gpuenv.verify.expected import Expected, ExpectedPackage

    family = tables.load().family
    if lock is None:
        packages = tuple(
            ExpectedPackage(project=each.name, version=None) for each in facts.distributions if each.name in family
        )
        return Expected(gpus=machine.gpus, packages=packages)
    decision = lock.decision
    cuda = "" if decision.accelerator == "cpu" else tables.load().cuda_of(decision.variant)
    return Expected(
        torch=decision.torch,
        cuda=cuda,
        gpus=machine.gpus if decision.accelerator == "cuda" else (),
        packages=tuple(ExpectedPackage(project=each.name, version=each.version) for each in lock.family),
        lock=lock_name,
        profile=profile,
    )


def write_evidence(proof: Proof, report: Report) -> None:
    """Write the evidence of a run, whatever its verdict."""
    from gpuenv.machine.smi import snapshot
    from gpuenv.verify import evidence

    context, lock, folder = proof.context, proof.lock, proof.folder_for(report)
    path = context.project / proof.lock_name if proof.lock_name else None
    there = path is not None and path.is_file()
    about = evidence.About(
        created=datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z",
        gpuenv=__version__,
        command=_command(proof, report),
        environment=context.shown(proof.target),
        profile=proof.profile.name,
        lock=Path(os.path.relpath(path, folder)).as_posix() if there and path is not None else None,
        lock_sha256=lock_digest(path) if there and path is not None else None,
        because=lock.decision.because if lock is not None else (),
        uv=uv_of(context).version,
        plan=proof.profile.verification,
        gpus=tuple(gpu.uuid for gpu in in_scope(context, proof.machine.facts).gpus),
    )
    try:
        evidence.write(
            folder,
            report=report,
            machine=proof.machine.facts,
            about=about,
            smi_text=snapshot(context.environ),
        )
    except OSError as error:
        raise NoSpaceError(
            f"the evidence cannot be written to {context.shown(folder)}",
            causes=(error.strerror or str(error),),
            hints=("Name another folder with --evidence",),
        ) from error


def _command(proof: Proof, report: Report) -> str:
    if proof.hints.doing == "create" and report.verdict == "failed":
        return proof.hints.create("--keep-failed")
    words = ["gpuenv", "verify", proof.context.shown(proof.target)]
    return " ".join([*words, "--profile", proof.profile.name] if proof.lock is not None else words)
