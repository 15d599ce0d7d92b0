"""Detect this machine: NVML first, then the kernel's own files, then nvidia-smi; each fact remembers its source.

A broken driver is not "no GPU": what points to a card that does not answer becomes a :class:`DriverProblem`, and only a
machine on which nothing points to one has no GPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpuenv.errors import DriverError, MachineError
from gpuenv.machine import absence, diagnosis, linux, nvml, smi, windows
from gpuenv.machine.linux import Host
from gpuenv.machine.merge import Found, merge
from gpuenv.machine.notes import notes_of
from gpuenv.machine.nvml import NvmlAnswer
from gpuenv.machine.problem import DriverProblem, Evidence, Remains, traces
from gpuenv.model.machine import Arch, Driver, Machine, Os

ARCHITECTURES: dict[str, dict[str, Arch]] = {
    "linux": {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"},
    "windows": {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "arm64", "aarch64": "arm64"},
    "macos": {"arm64": "arm64", "x86_64": "x86_64"},
}
"""What each system calls its processors, and how we write them (as wheel tags do)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was found. ``problem`` says why the NVIDIA GPU that is there cannot be used; ``machine`` then holds what is
    known all the same. ``partial`` holds the troubles of single GPUs beside which others work; each is among the
    ``notes`` too, with everything else that works and will surprise."""

    machine: Machine
    problem: DriverProblem | None = None
    notes: tuple[str, ...] = ()
    partial: tuple[DriverProblem, ...] = ()
    evidence: Evidence | None = field(default=None, compare=False, repr=False)
    """What the diagnosis rests on; ``None`` where there was nothing to ask (macOS)."""


def require(detection: Detection) -> Machine:
    """Return the machine, or raise :class:`DriverError` where its GPU cannot be used."""
    problem = detection.problem
    if problem is not None:
        raise DriverError(problem.summary, causes=problem.causes, hints=problem.hints)
    return detection.machine


def detect(
    *,
    environ: Mapping[str, str],
    root: Path = Path("/"),
    timeout: float = 10.0,
    platform: str = sys.platform,
) -> Detection:
    """Detect the machine below ``root``; ``timeout`` (seconds) holds for each of NVML and nvidia-smi.

    ``environ`` reaches the driver's programs and libraries as it is, so that they are found where the user's own would
    be. CUDA_VISIBLE_DEVICES and NVIDIA_VISIBLE_DEVICES are noted and not obeyed. Raises :class:`MachineError` for a
    processor or system that PyTorch has no wheels for.
    """
    system = _system(platform)
    arch = _arch(system, _processor(system, environ))
    if system == "macos":
        return Detection(machine=_machine(system, arch, None, Found(), sources={}))
    local = root == Path("/")
    host = linux.read_host(root, confstr=linux.running_libc if local else None) if system == "linux" else None
    answer = nvml.probe(environ=environ, timeout=timeout)
    asked = smi.query(environ, timeout=timeout) if _needs_smi(answer) else None
    evidence = Evidence(
        host=host,
        answer=answer,
        smi=asked,
        remains=Remains(),
        adapters=windows.adapters() if system == "windows" and not answer.gpus else (),
    )
    if _incomplete(answer) and host is not None:
        evidence = replace(evidence, remains=_remains(root))
    return conclude(evidence, system=system, arch=arch, environ=environ)


def conclude(evidence: Evidence, *, system: Os, arch: Arch, environ: Mapping[str, str]) -> Detection:
    """Make the detection of what was learned; pure."""
    found = merge(evidence)
    problem = _problem(evidence, found)
    sources = {} if evidence.host is None else _host_sources(evidence.host)
    driver, driver_sources = _driver(evidence, found)
    if problem is None and not found.gpus:
        driver, driver_sources = None, {}
    machine = _machine(system, arch, evidence.host, found, sources={**sources, **driver_sources}, driver=driver)
    partial = found.troubles if problem is None else ()
    return Detection(
        machine=machine,
        problem=problem,
        notes=notes_of(evidence, machine, partial, environ),
        partial=partial,
        evidence=evidence,
    )


def _problem(evidence: Evidence, found: Found) -> DriverProblem | None:
    answer = evidence.answer
    if not found.gpus:
        return found.troubles[0] if found.troubles else diagnosis.explain(evidence)
    if found.by_smi:
        return None
    if answer.ending in ("hung", "crashed") and found.troubles:
        return diagnosis.explain(evidence)
    if answer.cuda_failure is not None and answer.cuda_failure.code == 12:
        return absence.compute_library_missing(evidence, answer.cuda_failure)
    if found.usable_by_cuda == 0:
        return absence.mig_empty(tuple(f"GPU {gpu.index} ({gpu.name})" for gpu in found.gpus))
    return None


def _incomplete(answer: NvmlAnswer) -> bool:
    whole = all(gpu.uuid and gpu.name and gpu.compute_capability for gpu in answer.gpus)
    return answer.ending != "answered" or not answer.gpus or not whole


def _needs_smi(answer: NvmlAnswer) -> bool:
    """nvidia-smi stands on NVML: after a hang it would only hang too, and of no GPU at all it knows no more."""
    counted_none = answer.ending == "answered" and not answer.gpus
    return _incomplete(answer) and answer.ending != "hung" and not counted_none


def _remains(root: Path) -> Remains:
    return Remains(
        libraries=linux.libraries(root),
        module_built=linux.module_built(root),
        secure_boot=linux.secure_boot(root),
        kernel=linux.kernel_release(root),
    )


def _driver(evidence: Evidence, found: Found) -> tuple[Driver | None, dict[str, str]]:
    answer, host, asked = evidence.answer, evidence.host, evidence.smi
    version, source = answer.driver, "nvml"
    if version is None and host is not None and host.module is not None:
        version, source = host.module.version, host.module.source
    if version is None and asked is not None and asked.driver is not None:
        version, source = asked.driver, "nvidia-smi"
    if version is None or (not found.gpus and not traces(evidence) and answer.driver is None):
        return None, {}
    sources = {"driver.version": source}
    if answer.cuda is not None:
        sources["driver.cuda"] = _cuda_source(answer)
    return Driver(version=version, cuda=answer.cuda, source=source), sources


def _cuda_source(answer: NvmlAnswer) -> str:
    if answer.cuda_failure is not None:
        return "nvml, without libcuda"
    return "nvml" if answer.libcuda is None else f"nvml, from {answer.libcuda}"


def _machine(
    system: Os, arch: Arch, host: Host | None, found: Found, *, sources: dict[str, str], driver: Driver | None = None
) -> Machine:
    every = {"os": "sys.platform", "arch": "uname" if system != "windows" else "environment", **sources}
    return Machine(
        os=system,
        arch=arch,
        libc=host.libc if host else None,
        wsl=host.wsl if host else False,
        container=host.container if host else False,
        driver=driver,
        gpus=found.gpus,
        sources=tuple(sorted({**every, **dict(found.sources)}.items())),
    )


def _host_sources(host: Host) -> dict[str, str]:
    return {"libc": host.libc_by, "wsl": host.wsl_by, "container": host.container_by}


def _system(platform: str) -> Os:
    if platform.startswith("linux"):
        return "linux"
    if platform in ("win32", "cygwin"):
        return "windows"
    if platform == "darwin":
        return "macos"
    raise MachineError(f"this operating system is {platform}, for which PyTorch has no wheels")


def _processor(system: Os, environ: Mapping[str, str]) -> str:
    return windows.processor(environ) if system == "windows" else os.uname().machine


def _arch(system: Os, processor: str) -> Arch:
    known = ARCHITECTURES[system]
    if processor.lower() not in known:
        raise MachineError(
            f"this processor is {processor or 'unknown'}, for which PyTorch has no wheels",
            causes=(f"PyTorch's wheels for {system} are for {' and '.join(sorted(set(known.values())))}",),
        )
    return known[processor.lower()]
