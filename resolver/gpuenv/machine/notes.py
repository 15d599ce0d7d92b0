"""What works and will surprise: masks, foreign libraries, MIG, cards left aside; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from gpuenv.machine.nvml import NvmlAnswer
from gpuenv.machine.problem import DriverProblem, Evidence
from gpuenv.model.machine import Machine


def notes_of(
    evidence: Evidence, machine: Machine, partial: Sequence[DriverProblem], environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Every note, in the order a person needs them; none is a reason to stop."""
    notes = [f"{problem.summary}: {'; '.join(problem.causes)}" for problem in partial]
    notes += _ways(evidence, machine)
    notes += _hardware(evidence, machine)
    notes += _masks(machine, environ)
    return tuple(notes)


def foreign_libcuda(answer: NvmlAnswer) -> str | None:
    """The version in libcuda's file name where it is not the driver's: a compatibility package, or leftovers."""
    match = re.search(r"/libcuda\.so\.(\d+(?:\.\d+)+)$", answer.libcuda or "")
    return match[1] if match and answer.driver and match[1] != answer.driver else None


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
        yield (
            f"CUDA {answer.cuda} is what {answer.libcuda} claims, a library of {version} and not of driver "
            f"{answer.driver}: a compatibility package, which works on data centre cards only (else error 804)"
        )
    if not machine.gpus and machine.driver is None and answer.driver is not None:
        yield f"NVIDIA's driver {answer.driver} is installed (NVML), and the PCI bus holds no NVIDIA GPU"
    elif not machine.gpus and machine.driver is None and answer.failure is not None and answer.failure.code == 9:
        yield "NVIDIA's driver library is installed, its module is not loaded, and the PCI bus holds no NVIDIA GPU"


def _hardware(evidence: Evidence, machine: Machine) -> Iterator[str]:
    host, answer = evidence.host, evidence.answer
    if host is not None and host.wsl_gpu and not host.wsl_driver and not machine.gpus:
        yield (
            "Windows passes a GPU through (/dev/dxg) without NVIDIA's libraries in /usr/lib/wsl/lib: if it is an "
            "NVIDIA card, install its driver in Windows and run `wsl --shutdown`"
        )
    for gpu in answer.gpus:
        name = f"GPU {gpu.index} ({gpu.name or 'unnamed'})"
        if gpu.mig and gpu.slices is not None:
            yield f"{name} is in MIG mode with {gpu.slices} MIG devices: a program sees one of them, and its memory"
        if gpu.fabric in (1, 2):
            yield f"{name} has not joined its NVSwitch fabric yet: CUDA answers 802 until the Fabric Manager has run"
    if host is not None and not host.container and answer.ending == "answered" and machine.gpus:
        driven = [gpu for gpu in host.pci or () if gpu.bound_to == "nvidia"]
        missing = len(driven) - len(answer.gpus)
        if missing > 0:
            yield f"the nvidia module holds {len(driven)} GPUs on the PCI bus, and NVML shows {missing} fewer"


def _masks(machine: Machine, environ: Mapping[str, str]) -> Iterator[str]:
    mask = environ.get("CUDA_VISIBLE_DEVICES")
    if mask is not None and machine.gpus:
        shown = "no GPU at all" if mask.strip() in ("", "-1", "NoDevFiles") else f"only {mask}"
        yield f"CUDA_VISIBLE_DEVICES is set: CUDA programs see {shown}; every GPU is listed here"
    runtime = environ.get("NVIDIA_VISIBLE_DEVICES")
    if runtime is not None and runtime != "all" and machine.container:
        yield f"NVIDIA_VISIBLE_DEVICES is {runtime or 'empty'}: the container was given these GPUs"
