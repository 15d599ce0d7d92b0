"""What can be wrong with a driver, and the evidence that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpuenv.machine.linux import Host
from gpuenv.machine.nvml import NvmlAnswer
from gpuenv.machine.smi import SmiAnswer

Kind = Literal[
    "library-missing",
    "library-broken",
    "library-outdated",
    "compute-library-missing",
    "driver-not-installed",
    "driver-not-loaded",
    "version-mismatch",
    "no-permission",
    "blocked",
    "container-without-gpu",
    "devices-lost",
    "no-device",
    "gpu-lost",
    "reset-required",
    "insufficient-power",
    "interrupt",
    "gpu-unreadable",
    "mig-empty",
    "busy",
    "hang",
    "crash",
    "jetson",
    "unknown",
]
"""Stable names of what can be wrong, one for each thing to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverProblem:
    """Why a GPU that is there cannot be used. ``summary`` is one sentence without a final period; ``causes`` are the
    facts it rests on, with where they were read; ``hints`` are things to do, the likeliest first."""

    kind: Kind
    summary: str
    causes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left of a driver that does not work; read only then."""

    libraries: tuple[str, ...] = ()
    module_built: bool | None = None
    secure_boot: bool | None = None
    kernel: str = "the running kernel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was learned of one machine. ``host`` is ``None`` on Windows, where ``adapters`` stand instead."""

    host: Host | None
    answer: NvmlAnswer
    smi: SmiAnswer | None
    remains: Remains
    adapters: tuple[str, ...] = ()
    """Hardware keys of NVIDIA display adapters in the Windows registry."""


def traces(evidence: Evidence) -> tuple[str, ...]:
    """Everything that shows an NVIDIA GPU or its loaded driver on this machine, with where it was seen."""
    host = evidence.host
    if host is None:
        return tuple(f"Windows lists a display adapter {key}" for key in evidence.adapters)
    seen = [
        f"PCI device {gpu.address} is an NVIDIA GPU (10de:{gpu.device.removeprefix('0x')}), "
        + (f"bound to the kernel driver {gpu.bound_to}" if gpu.bound_to else "bound to no kernel driver")
        for gpu in host.pci or ()
        if gpu.bound_to != "vfio-pci"  # handed to a virtual machine on purpose
    ]
    if host.tegra:
        seen.append(f"the system-on-chip is an NVIDIA {host.tegra} (device tree)")
    if host.wsl_driver:
        seen.append("Windows passes an NVIDIA GPU through (/dev/dxg, /usr/lib/wsl/lib)")
    if not seen and (host.pci is None or host.container):
        if host.module:
            seen.append(f"the NVIDIA kernel module {host.module.version} is loaded ({host.module.source})")
        seen += [f"device node {node}" for node in host.nodes[:3]]
        if evidence.answer.driver:
            seen.append(f"driver {evidence.answer.driver} answers (NVML)")
    elif not seen and host.nodes and host.module and not host.pci:
        seen.append(f"the NVIDIA kernel module {host.module.version} has made {len(host.nodes)} device nodes in /dev")
    return tuple(seen)
