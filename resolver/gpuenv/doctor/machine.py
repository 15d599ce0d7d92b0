"""What is wrong with this machine; pure over a detection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

from gpuenv.doctor.cards import READ_LOG, diagnose_cards, diagnose_start, doer
from gpuenv.doctor.finding import UNNAMED, Finding, worst_first
from gpuenv.doctor.job import MASK, diagnose_job
from gpuenv.doctor.libraries import diagnose_libraries
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.rules import compare_versions
from gpuenv.machine.cuda import Checkup
from gpuenv.machine.detection import Detection
from gpuenv.machine.problem import DMESG, EVENTS, OF_LINUX, RESTART, CommandHint, DriverProblem
from gpuenv.model.machine import Machine


def diagnose_machine(
    detection: Detection,
    *,
    knowledge: Knowledge,
    environ: Mapping[str, str] | None = None,
    checkup: Checkup | None = None,
) -> tuple[Finding, ...]:
    """Examine system, driver and each GPU, errors first.

    ``environ`` is the environment that programs will run in; without it only the machine itself is examined. What the
    loader's path brings in is :func:`gpuenv.doctor.session.diagnose_session`. ``checkup`` holds what only a closer
    examination tells: CUDA's own answer, and what brings in its library.
    """
    machine, closer = detection.machine, checkup or Checkup()
    findings = [_system(machine)]
    if detection.problem is not None:
        findings.append(_of_problem("driver", detection.problem))
        findings += _wrong_driver(detection, knowledge)
    elif machine.gpus:
        findings.append(_driver(machine))
    else:
        findings.append(_no_gpu(detection))
    findings += [_of_problem("gpu", trouble) for trouble in detection.partial]
    findings += diagnose_cards(detection, closer)
    findings += diagnose_libraries(detection, closer)
    findings += _smi_alone(detection)
    masked = environ is not None and MASK in environ
    findings += diagnose_start(detection, closer, explained=findings, masked=masked)
    if environ is not None:
        findings += diagnose_job(machine, environ)
    return worst_first([_on_windows(each) for each in findings] if machine.os == "windows" else findings)


def _on_windows(finding: Finding) -> Finding:
    """The finding with a fix that can be followed there: the driver's log is another, and there is no ``sudo``."""
    fix = finding.fix.replace(DMESG, EVENTS)
    if fix.startswith("sudo nvidia-smi "):  # in a terminal of an administrator
        return replace(finding, fix=fix.removeprefix("sudo "))
    if any(word in fix for word in OF_LINUX):
        restart = f"Restart Windows (`{RESTART}`); if it stays, install NVIDIA's driver for the card again"
        return replace(finding, fix=restart, by="yourself", check=UNNAMED)
    return replace(finding, fix=fix)


def _system(machine: Machine) -> Finding:
    where = [f"{machine.os} {machine.arch}", machine.libc or ""]
    where += ["WSL"] if machine.wsl else []
    where += ["container"] if machine.container else []
    summary = ", ".join(text for text in where if text)
    if machine.libc_family == "musl":
        return Finding(
            subject="system",
            severity="error",
            kind="no-wheels-for-libc",
            summary=f"PyTorch has no wheels for {machine.libc}",
            detail=f"{summary}; PyTorch's Linux wheels are built for glibc (tag manylinux)",
            fix="Use a system with glibc (in a container: an image of Debian, Ubuntu or Fedora)",
            by="yourself",
            check="`gpuenv detect` names glibc",
        )
    return Finding(subject="system", severity="ok", summary=summary)


def _of_problem(subject: str, problem: DriverProblem) -> Finding:
    """A problem as a finding. What is to be done is the owner's own command, or a sentence for whoever has to do it."""
    hint = problem.hints[0] if problem.hints else ""
    mine = problem.by == "you"
    return Finding(
        subject=subject,
        severity="error",
        kind=problem.kind,
        summary=problem.summary,
        detail="; ".join(problem.causes),
        fix=(hint.command if mine and isinstance(hint, CommandHint) else hint) or READ_LOG,
        by="yourself" if problem.by == "you" else problem.by,
        check=UNNAMED,
    )


def _driver(machine: Machine) -> Finding:
    driver = machine.driver
    if driver is None:  # of a machine file that was written by hand
        return Finding(
            subject="driver",
            severity="error",
            kind="driver-unknown",
            summary="the version of the driver is not known",
            fix="Write it into the machine file: driver.version",
            by="yourself",
            check=UNNAMED,
        )
    known = f", knows CUDA {driver.cuda}" if driver.cuda else ""
    return Finding(
        subject="driver", severity="ok", summary=f"NVIDIA driver {driver.version}{known}", detail=driver.source
    )


def _no_gpu(detection: Detection) -> Finding:
    host = detection.evidence.host if detection.evidence is not None else None
    reserved = host is not None and bool(host.pci)
    summary = "there is no NVIDIA GPU in this machine: environments will be CPU environments"
    if reserved:
        summary = "no NVIDIA GPU is left for this system: environments will be CPU environments"
    if detection.machine.os == "macos":  # nothing can change it there, so it is said at once
        summary = "; ".join((summary, *detection.notes))
    return Finding(subject="gpu", severity="ok", summary=summary, detail="; ".join(detection.notes))


def _wrong_driver(detection: Detection, knowledge: Knowledge) -> Iterator[Finding]:
    """A card that the driver's branch does not serve: the usual reason for a driver that finds no GPU."""
    evidence, driver = detection.evidence, detection.machine.driver
    problem = detection.problem
    if evidence is None or evidence.host is None or driver is None or problem is None:
        return
    if problem.kind not in ("no-device", "driver-not-loaded", "gpu-unreadable"):
        return
    module, version = evidence.host.module, driver.version
    check, branch = "`gpuenv doctor` names the GPU", version.partition(".")[0]
    error = partial(Finding, subject="driver", severity="error", by=doer(detection), check=check)
    for card in evidence.host.pci or ():
        rows = knowledge.gpu_by_pci(card.device)
        if len({row.compute_capability for row in rows}) != 1:
            continue
        capability, name = rows[0].compute_capability, f"{rows[0].name} ({card.address})"
        last, least = knowledge.last_branch_for(capability), knowledge.least_branch_for(capability)
        known = f"compute capability {capability} (PCI id, by table)"
        if last is not None and compare_versions(branch, last) > 0:
            summary = f"driver {version} no longer serves {name}: branch {last} was the last that did"
            yield error(
                kind="driver-past-the-card", summary=summary, detail=known, fix=f"Install a driver of branch {last}"
            )
        if least is not None and compare_versions(branch, least) < 0:
            summary = f"driver {version} does not know {name} yet: branch {least} is the first that does"
            fix = f"Install a driver of branch {least} or newer"
            yield error(kind="driver-before-the-card", summary=summary, detail=known, fix=fix)
        closed = module is not None and module.open is False
        if closed and knowledge.architecture(capability) == "Blackwell":
            yield error(
                kind="module-closed",
                summary=f"{name} needs the open flavour of the kernel module, and the closed one is loaded",
                detail=f"module {version} ({driver.source}): NVIDIA UNIX Kernel Module, not Open Kernel Module",
                fix="Install the -open package of the same driver (Ubuntu: nvidia-driver-BRANCH-open), then reboot",
            )


def _smi_alone(detection: Detection) -> Iterator[Finding]:
    evidence = detection.evidence
    if evidence is None or not detection.machine.gpus or evidence.answer.gpus or evidence.answer.failure is None:
        return
    found = evidence.remains.libraries
    library = "libnvidia-ml.so.1"
    if detection.machine.os == "windows":
        found, library = (), "nvml.dll"
    yield Finding(
        subject="driver",
        severity="warning",
        kind="nvml-unasked",
        summary="NVML could not be asked, so what is known of the GPUs comes from nvidia-smi",
        detail=str(evidence.answer.failure),
        fix=f"Put the folder of NVML on the loader's path: `export LD_LIBRARY_PATH={found[0].rpartition('/')[0]}`"
        if found
        else f"Install NVIDIA's NVML ({library}) of the driver's own version",
        by="yourself" if found else doer(detection),
        check=UNNAMED,
    )
