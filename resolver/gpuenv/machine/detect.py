"""Detect this machine: NVML first, then the kernel's own files, then nvidia-smi; each fact remembers its source.

A broken driver is not "no GPU": what points to a card that does not answer becomes a ``DriverProblem``, and only a
machine on which nothing points to one has no GPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from gpuenv.errors import DriverError, MachineError
from gpuenv.machine import nvml
from gpuenv.machine.detection import Detection
from gpuenv.model.machine import Arch, Machine, Os
from gpuenv.system.process import Child, NotStarted, stop

ARCHITECTURES: dict[str, dict[str, Arch]] = {
    "linux": {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"},
    "windows": {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "arm64", "aarch64": "arm64"},
    "macos": {"arm64": "arm64", "x86_64": "x86_64"},
}
"""What each system calls its processors, and how we write them (as wheel tags do)."""


def require(detection: Detection) -> Machine:
    """Return the machine, or raise :class:`DriverError` where its GPU cannot be used."""
    problem = detection.problem
    if problem is not None:
        raise DriverError(problem.summary, causes=problem.causes, hints=problem.advice)
    return detection.machine


def detect(
    *,
    environ: Mapping[str, str],
    root: Path = Path("/"),
    timeout: float = 10.0,
    platform: str = sys.platform,
    child: Child | NotStarted | None = None,
) -> Detection:
    """Detect the machine below ``root``; ``timeout`` (seconds) holds for each of NVML and nvidia-smi.

    ``environ`` reaches the driver's programs and libraries as it is, so that they are found where the user's own would
    be. CUDA_VISIBLE_DEVICES and NVIDIA_VISIBLE_DEVICES are noted and not obeyed. ``child`` asks NVML already, where one
    was begun before. Raises :class:`MachineError` for a processor or system that PyTorch has no wheels for.
    """
    system = _system(platform)
    arch = _arch(system, _processor(system, environ))
    if system == "macos":  # no driver for it since 10.13, and no CUDA wheel
        from gpuenv.machine.notes import notes_of_system

        sources = (("arch", "uname"), ("os", "sys.platform"))
        machine = Machine(
            os=system, arch=arch, libc=None, wsl=False, container=False, driver=None, gpus=(), sources=sources
        )
        return Detection(machine=machine, notes=notes_of_system(machine))
    child = child or nvml.begin(environ=environ)
    try:
        from gpuenv.machine import conclusion  # loaded while the child runs, which hides half of the time it takes

        evidence = conclusion.gather(child, system=system, environ=environ, root=root, timeout=timeout)
        return conclusion.conclude(evidence, system=system, arch=arch, environ=environ)
    finally:
        if isinstance(child, Child):
            stop(child)


def _system(platform: str) -> Os:
    if platform.startswith("linux"):
        return "linux"
    if platform in ("win32", "cygwin"):
        return "windows"
    if platform == "darwin":
        return "macos"
    raise MachineError(f"this operating system is {platform}, for which PyTorch has no wheels")


def _processor(system: Os, environ: Mapping[str, str]) -> str:
    if system != "windows":
        return os.uname().machine
    from gpuenv.machine import windows

    return windows.processor(environ)


def _arch(system: Os, processor: str) -> Arch:
    known = ARCHITECTURES[system]
    if processor.lower() not in known:
        raise MachineError(
            f"this processor is {processor or 'unknown'}, for which PyTorch has no wheels",
            causes=(f"PyTorch's wheels for {system} are for {' and '.join(sorted(set(known.values())))}",),
        )
    return known[processor.lower()]
