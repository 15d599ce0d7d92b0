"""What works and will surprise: masks, foreign libraries, MIG, cards left aside; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gpuenv.knowledge.rules import compare_versions
from gpuenv.knowledge.scheduler import NO_DEVICE
from gpuenv.model.machine import Machine

if TYPE_CHECKING:  # a machine that stands in a file has notes too, and nobody to ask
    from gpuenv.machine.nvml import NvmlAnswer
    from gpuenv.machine.problem import DriverProblem, Evidence

MAKERS = {"VEN_1002": "AMD", "VEN_8086": "Intel"}
BUILDS = {"AMD": "ROCm", "Intel": "XPU"}
"""What PyTorch calls its builds for the GPUs of other makers."""


def notes_of(
    evidence: Evidence,
    machine: Machine,
    partial: Sequence[DriverProblem],
    environ: Mapping[str, str],
    *,
    broken: bool = False,
) -> tuple[str, ...]:
    """Every note, in the order a person needs them; none is a reason to stop.

    Where the driver is ``broken`` its problem says what is known of the GPU, and nothing is said here beside it.
    """
    notes = [f"{problem.summary}: {'; '.join(problem.causes)}" for problem in partial]
    notes += _ways(evidence, machine)
    notes += _hardware(evidence, machine)
    notes += () if broken or machine.gpus else _without_gpu(evidence)
    notes += _masks(evidence, machine, environ)
    return tuple(notes)


def notes_of_system(machine: Machine) -> tuple[str, ...]:
    """What the system itself means for a decision; known of a machine in a file as of this one."""
    if machine.os != "macos":
        return ()
    if machine.arch != "arm64":
        return (
            "macOS has no NVIDIA driver, and PyTorch no longer makes builds for Macs with an Intel processor: the last "
            "ones, for the CPU, are what is left",
        )
    return (
        "macOS has no NVIDIA driver. PyTorch's builds for it use the CPU and, where a program asks for device mps, "
        "Apple's GPU: gpuenv makes the environment, proves it on the CPU, and does not try mps",
    )


def foreign_libcuda(answer: NvmlAnswer, path: str | None = None) -> str | None:
    """The version in libcuda's file name where it is not the driver's: a compatibility package, or leftovers.

    ``path`` is the file, else the one that was seen beside NVML. WSL and Jetson number theirs 1.1, which names no
    driver.
    """
    match = re.search(r"/libcuda\.so\.(\d{3,}(?:\.\d+)+)$", path or answer.libcuda or "")
    return match[1] if match and answer.driver and compare_versions(match[1], answer.driver) else None


def is_stub(path: str) -> bool:
    """Whether a driver library is the toolkit's stand-in for linking, which no program can run with."""
    return "/stubs/" in path


def _ways(evidence: Evidence, machine: Machine) -> Iterator[str]:
    answer, asked = evidence.answer, evidence.smi
    if machine.gpus and asked is not None and not answer.gpus and answer.failure is not None:
        found = evidence.remains.libraries
        where = f"; its library lies in {found[0].rpartition('/')[0]}, off the loader's path" if found else ""
        yield f"nvidia-smi answered in place of NVML, which could not be asked ({answer.failure}{where})"
    elif machine.gpus and answer.ending in ("hung", "crashed") and answer.failure is not None:
        yield f"NVML did not end well after the required facts were known: {answer.failure}"
    version = foreign_libcuda(answer)
    if version is not None and answer.cuda is not None:
        older = compare_versions(version, answer.driver or version) < 0
        effect = "older than the driver, so that CUDA fails with error 803 on every card"
        if not older:
            effect = "a compatibility package, which works on data centre cards only (else error 804)"
        yield (
            f"CUDA {answer.cuda} is what {answer.libcuda} claims, a library of {version} and not of driver "
            f"{answer.driver}: {effect}"
        )
    if evidence.shadow is not None:
        yield f"{evidence.shadow} stands in the way of NVIDIA's pynvml on Python's path; gpuenv asks its own"


def _without_gpu(evidence: Evidence) -> Iterator[str]:
    """What else there is on a machine of which it is known that no NVIDIA GPU can be used."""
    host, answer = evidence.host, evidence.answer
    reserved = [gpu.address for gpu in host.pci or ()] if host is not None else []
    none = "the PCI bus holds no NVIDIA GPU" if host is not None and host.pci is not None else "there is no NVIDIA GPU"
    if reserved:
        yield f"the NVIDIA GPU at {', '.join(reserved)} is reserved for virtual machines (bound to vfio-pci)"
        none = "no NVIDIA GPU is left for this system"
    if answer.driver is not None:
        yield f"NVIDIA's driver {answer.driver} is installed (NVML), and {none}"
    elif answer.failure is not None and answer.failure.code == 9:
        yield f"NVIDIA's driver library is installed, its module is not loaded, and {none}"
    if host is not None and host.wsl_gpu and not host.wsl_driver:
        yield (
            "Windows passes a GPU through (/dev/dxg) without NVIDIA's libraries in /usr/lib/wsl/lib: if it is an "
            "NVIDIA card, install its driver in Windows and run `wsl --shutdown`"
        )
    makers: dict[str, list[str]] = {}
    for gpu in host.others if host is not None else ():
        makers.setdefault(gpu.maker, []).append(f"{gpu.address}, {gpu.device}")
    for key in evidence.others:
        makers.setdefault(MAKERS.get(key.upper()[:8], "another"), []).append(key)
    for maker, places in sorted(makers.items()):
        yield (
            f"{'an' if maker[0] in 'AI' else 'a'} {maker} GPU is here ({'; '.join(places)}): gpuenv makes environments "
            f"for NVIDIA GPUs and for the CPU, and does not choose PyTorch's builds for {BUILDS.get(maker, 'others')}"
        )
    for job in evidence.jobs[-1:]:
        yield f"this {job.place} runs where no NVIDIA GPU is. {job.ask}"


def _hardware(evidence: Evidence, machine: Machine) -> Iterator[str]:
    host, answer = evidence.host, evidence.answer
    for gpu in answer.gpus:
        name = f"GPU {gpu.index} ({gpu.name or 'unnamed'})"
        if gpu.mig and gpu.slices:
            yield f"{name} is in MIG mode with {gpu.slices} MIG devices: a program sees one of them, and its memory"
        if gpu.fabric in (1, 2):
            yield f"{name} has not joined its NVSwitch fabric yet: CUDA answers 802 until the Fabric Manager has run"
    shared = host is not None and (host.container or bool(evidence.jobs))  # then others have the rest
    if host is not None and not shared and answer.ending == "answered" and machine.gpus:
        driven = [gpu for gpu in host.pci or () if gpu.bound_to == "nvidia"]
        missing = len(driven) - len(answer.gpus)
        if missing > 0:
            yield f"the nvidia module holds {len(driven)} GPUs on the PCI bus, and NVML shows {missing} fewer"


def _masks(evidence: Evidence, machine: Machine, environ: Mapping[str, str]) -> Iterator[str]:
    mask = environ.get("CUDA_VISIBLE_DEVICES")
    if mask is not None and machine.gpus:
        shown = "no GPU at all" if mask.strip().lower() in NO_DEVICE else f"only {mask}"
        by = f" by {evidence.jobs[0].place}" if evidence.jobs else ""
        yield f"CUDA_VISIBLE_DEVICES is set{by}: CUDA programs see {shown}; every GPU is listed here"
    runtime = evidence.visible
    given = runtime is not None and runtime != "all" and runtime.strip().lower() not in NO_DEVICE
    if given and machine.container and machine.gpus:
        yield f"NVIDIA_VISIBLE_DEVICES is {runtime}: the container was given these GPUs"
