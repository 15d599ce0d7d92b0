"""What is wrong with this machine; pure over a detection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from gpuenv.doctor.finding import Finding, command_in, worst_first
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.rules import compare_drivers
from gpuenv.machine.detect import Detection
from gpuenv.machine.notes import foreign_libcuda
from gpuenv.machine.problem import DriverProblem
from gpuenv.model.machine import ComputeCapability, Machine

NOT_STARTED = (1, 2)
"""nvmlGpuFabricState_t: not started, in progress."""


def diagnose_machine(
    detection: Detection, *, knowledge: Knowledge, environ: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """Judge system, driver and each GPU, errors first.

    ``environ`` is the environment that programs will run in; without it only the machine itself is judged. What the
    loader's path brings in is :func:`gpuenv.doctor.session.diagnose_session`.
    """
    machine = detection.machine
    findings = [_system(machine)]
    if detection.problem is not None:
        findings.append(_of_problem("driver", detection.problem, "error"))
        findings += _wrong_driver(detection, knowledge)
    elif machine.gpus:
        findings.append(_driver(machine))
    else:
        findings.append(_no_gpu(detection))
    findings += [_of_problem("gpu", trouble, "warning") for trouble in detection.partial]
    findings += _gpus(detection)
    findings += _libraries(detection)
    if environ is not None:
        findings += _mask(machine, environ)
    return worst_first(findings)


def _system(machine: Machine) -> Finding:
    where = [f"{machine.os} {machine.arch}", machine.libc or ""]
    where += ["WSL"] if machine.wsl else []
    where += ["container"] if machine.container else []
    summary = ", ".join(text for text in where if text)
    if machine.libc is not None and machine.libc.startswith("musl"):
        return Finding(
            subject="system",
            severity="error",
            summary=f"PyTorch has no wheels for {machine.libc}",
            detail=f"{summary}; PyTorch's Linux wheels are built for glibc (tag manylinux)",
            mend="Use a system with glibc (in a container: an image of Debian, Ubuntu or Fedora)",
        )
    return Finding(subject="system", severity="ok", summary=summary)


def _of_problem(subject: str, problem: DriverProblem, severity: str) -> Finding:
    return Finding(
        subject=subject,
        severity="error" if severity == "error" else "warning",
        summary=problem.summary,
        detail="; ".join(problem.causes),
        mend=command_in(problem.hints[0]) if problem.hints else "",
    )


def _driver(machine: Machine) -> Finding:
    driver = machine.driver
    assert driver is not None  # detection never lists GPUs without a driver
    known = f", knows CUDA {driver.cuda}" if driver.cuda else ""
    return Finding(
        subject="driver", severity="ok", summary=f"NVIDIA driver {driver.version}{known}", detail=driver.source
    )


def _no_gpu(detection: Detection) -> Finding:
    return Finding(
        subject="gpu",
        severity="ok",
        summary="there is no NVIDIA GPU in this machine: environments will be CPU environments",
        detail="; ".join(detection.notes),
    )


def _wrong_driver(detection: Detection, knowledge: Knowledge) -> Iterator[Finding]:
    """A card that the driver's branch does not serve: the usual reason for a driver that finds no GPU."""
    evidence, driver = detection.evidence, detection.machine.driver
    problem = detection.problem
    if evidence is None or evidence.host is None or driver is None or problem is None:
        return
    if problem.kind not in ("no-device", "driver-not-loaded", "gpu-unreadable"):
        return
    module = evidence.host.module
    for card in evidence.host.pci or ():
        rows = knowledge.gpu_by_pci(card.device)
        capabilities = {row.compute_capability for row in rows}
        if len(capabilities) != 1:
            continue
        (capability,) = capabilities
        name = f"{rows[0].name} ({card.address})"
        yield from _wrong_branch(name, capability, driver.version, knowledge)
        closed = module is not None and module.open is False
        if closed and knowledge.architecture(capability) == "Blackwell":
            yield Finding(
                subject="driver",
                severity="error",
                summary=f"{name} needs the open flavour of the kernel module, and the closed one is loaded",
                detail=f"module {driver.version} ({driver.source}): NVIDIA UNIX Kernel Module, not Open Kernel Module",
                mend="Install the -open package of the same driver (Ubuntu: nvidia-driver-BRANCH-open), then reboot",
            )


def _wrong_branch(name: str, capability: ComputeCapability, version: str, knowledge: Knowledge) -> Iterator[Finding]:
    branch = version.partition(".")[0]
    last, least = knowledge.last_branch_for(capability), knowledge.least_branch_for(capability)
    if last is not None and compare_drivers(branch, last) > 0:
        yield Finding(
            subject="driver",
            severity="error",
            summary=f"driver {version} no longer serves {name}: branch {last} was the last that did",
            detail=f"compute capability {capability} (PCI id, by table)",
            mend=f"Install a driver of branch {last}",
        )
    if least is not None and compare_drivers(branch, least) < 0:
        yield Finding(
            subject="driver",
            severity="error",
            summary=f"driver {version} does not know {name} yet: branch {least} is the first that does",
            detail=f"compute capability {capability} (PCI id, by table)",
            mend=f"Install a driver of branch {least} or newer",
        )


def _gpus(detection: Detection) -> Iterator[Finding]:
    evidence = detection.evidence
    told = {gpu.index: gpu for gpu in evidence.answer.gpus} if evidence else {}
    for gpu in detection.machine.gpus:
        subject, answer = f"GPU {gpu.index}", told.get(gpu.index)
        memory = f", {gpu.memory_bytes / 2**30:.0f} GiB" if gpu.memory_bytes else ""
        if answer is not None and answer.fabric in NOT_STARTED:
            yield Finding(
                subject=subject,
                severity="error",
                summary=f"{gpu.name} has not joined its NVSwitch fabric: CUDA answers 802 (system not yet initialized)",
                detail=f"fabric state {answer.fabric} (NVML)",
                mend="sudo systemctl enable --now nvidia-fabricmanager",
            )
        elif gpu.mig and answer is not None and answer.slices == 0:
            yield Finding(
                subject=subject,
                severity="warning",
                summary=f"{gpu.name} is in MIG mode without a MIG device: CUDA finds nothing on it",
                detail="nvmlDeviceGetMigDeviceHandleByIndex found no device (NVML)",
                mend=f"sudo nvidia-smi mig -i {gpu.index} -cgi 0 -C",
            )
        else:
            yield Finding(
                subject=subject,
                severity="ok",
                summary=f"{gpu.name}, compute capability {gpu.compute_capability}{memory}"
                + (", MIG" if gpu.mig else ""),
                detail=gpu.uuid,
            )


def _libraries(detection: Detection) -> Iterator[Finding]:
    evidence = detection.evidence
    if evidence is None:
        return
    answer = evidence.answer
    version = foreign_libcuda(answer)
    if version is not None:
        yield Finding(
            subject="driver",
            severity="warning",
            summary=f"libcuda is of {version}, the driver of {answer.driver}: a compatibility package is in use",
            detail=f"{answer.libcuda}; on anything but data centre cards CUDA fails with error 804",
            mend="unset LD_LIBRARY_PATH",
        )
    if detection.machine.gpus and not answer.gpus and answer.failure is not None:
        found = evidence.remains.libraries
        yield Finding(
            subject="driver",
            severity="warning",
            summary="NVML could not be asked, so what is known of the GPUs comes from nvidia-smi",
            detail=str(answer.failure),
            mend=f"export LD_LIBRARY_PATH={found[0].rpartition('/')[0]}" if found else "gpuenv verify",
        )


def _mask(machine: Machine, environ: Mapping[str, str]) -> Iterator[Finding]:
    """CUDA_VISIBLE_DEVICES as the CUDA runtime reads it: the list ends at the first entry that is not valid."""
    mask = environ.get("CUDA_VISIBLE_DEVICES")
    if mask is None or not machine.gpus:
        return
    shown = []
    for entry in (part.strip() for part in mask.split(",")):
        if not _visible(entry, machine):
            break
        shown.append(entry)
    if not shown:
        yield Finding(
            subject="environment",
            severity="error",
            summary=f"CUDA_VISIBLE_DEVICES={mask} hides every GPU",
            detail=f"this machine has {len(machine.gpus)}, numbered from 0",
            mend="unset CUDA_VISIBLE_DEVICES",
        )
    elif len(shown) < len(machine.gpus):
        yield Finding(
            subject="environment",
            severity="warning",
            summary=f"CUDA_VISIBLE_DEVICES={mask} shows {len(shown)} of {len(machine.gpus)} GPUs",
            mend="unset CUDA_VISIBLE_DEVICES",
        )


def _visible(entry: str, machine: Machine) -> bool:
    if entry.isdecimal():
        return int(entry) < len(machine.gpus)
    if entry.startswith("MIG-"):
        return any(gpu.mig for gpu in machine.gpus)
    short = re.fullmatch(r"GPU-[0-9a-fA-F-]+", entry)
    return short is not None and sum(gpu.uuid.lower().startswith(entry.lower()) for gpu in machine.gpus) == 1
