"""Explain a driver that is missing, wholly or in part: on the machine, in a container, in WSL, on a Jetson."""

from __future__ import annotations

import re

from gpuenv.machine.linux import Host
from gpuenv.machine.nvml import NvmlFailure
from gpuenv.machine.problem import DriverProblem, Evidence, Remains, traces


def left_outside(host: Host) -> bool:
    """A container on a machine with a GPU that was not handed in: the host's kernel shows, its device nodes do not."""
    return host.container and not host.nodes and not host.wsl and host.tegra is None


def container_without_gpu(evidence: Evidence, host: Host) -> DriverProblem:
    """A container that was started without the host's GPU."""
    module = host.module
    behind = f"driver {module.version} ({module.source})" if module else "no NVIDIA kernel module loaded"
    return DriverProblem(
        kind="container-without-gpu",
        summary=f"the host of this container has an NVIDIA GPU ({behind}) that was not passed in",
        causes=(
            *traces(evidence)[:4],
            f"this is a container ({host.container_by}), and /dev holds no nvidia device node",
        ),
        hints=(
            "Start the container with the GPU: `docker run --gpus all IMAGE` (podman: `--device nvidia.com/gpu=all`; "
            "Kubernetes: a limit on nvidia.com/gpu)",
            "If the CPU is what you want: `gpuenv create --profile cpu`",
        ),
    )


def compute_library_missing(evidence: Evidence, failure: NvmlFailure) -> DriverProblem:
    """NVML answers, libcuda cannot be loaded: the driver is seen, and nothing can compute on it."""
    host = evidence.host
    contained = host is not None and host.container
    driver = f"driver {evidence.answer.driver} (NVML)" if evidence.answer.driver else "the driver"
    hints = (
        (
            "Start the container with the compute capability: `docker run --gpus all -e "
            "NVIDIA_DRIVER_CAPABILITIES=compute,utility IMAGE`",
        )
        if contained
        else (
            "Install the driver's CUDA library, of the same version as the driver (Ubuntu: the libnvidia-compute "
            "package of that branch; Debian: libcuda1)",
            "Then look again: `gpuenv doctor`",
        )
    )
    return DriverProblem(
        kind="compute-library-missing",
        summary=f"{driver} answers, but its compute library libcuda is missing"
        + (" in this container" if contained else ""),
        causes=(str(failure),),
        hints=hints,
    )


def mig_empty(names: tuple[str, ...]) -> DriverProblem:
    """GPUs in MIG mode of which no slice was made: CUDA counts slices only."""
    return DriverProblem(
        kind="mig-empty",
        summary=f"{', '.join(names)}: MIG mode is on and no MIG device exists, so CUDA finds nothing",
        causes=("nvmlDeviceGetMigDeviceHandleByIndex found no device",),
        hints=(
            "Make the whole GPU one MIG device: `sudo nvidia-smi mig -cgi 0 -C`",
            "Or switch MIG off: `sudo nvidia-smi -mig 0`",
        ),
    )


def library_missing(evidence: Evidence) -> DriverProblem:
    """libnvidia-ml was not found, or not loaded: by what else the machine shows, each cause has its own remedy."""
    host, answer, remains = evidence.host, evidence.answer, evidence.remains
    loader = (f"the loader says: {answer.loader}",) if answer.loader else ()
    if host is None:
        return _missing_on_windows(evidence)
    if answer.loader and not re.search(r"cannot open shared object|No such file", answer.loader):
        return DriverProblem(
            kind="library-broken",
            summary="the driver's library libnvidia-ml.so.1 is found and cannot be loaded",
            causes=(*loader, *_places(remains)),
            hints=("Reinstall the driver's packages, and look again: `gpuenv doctor`",),
        )
    if host.tegra:
        return _jetson(host, loader)
    if remains.libraries:
        folder = remains.libraries[0].rpartition("/")[0]
        return DriverProblem(
            kind="library-missing",
            summary=f"the driver's library lies in {folder}, where the loader does not look",
            causes=(*loader, *_places(remains), *traces(evidence)[:2]),
            hints=(
                f"export LD_LIBRARY_PATH={folder}",
                "Or enter the folder in /etc/ld.so.conf.d and run `sudo ldconfig`",
            ),
        )
    if host.module is None and not host.container and not host.wsl:
        return _not_installed(host, evidence)
    module = f" of the loaded kernel module {host.module.version} ({host.module.source})" if host.module else ""
    return DriverProblem(
        kind="library-missing",
        summary=f"the user-space library{module} is missing: libnvidia-ml.so.1 was not found",
        causes=(*loader, *traces(evidence)[:4]),
        hints=(_bring_library(host),),
    )


def _bring_library(host: Host) -> str:
    if host.wsl:
        return "Update the NVIDIA driver in Windows, then restart WSL: `wsl --shutdown`"
    if host.container:
        return (
            "Start the container through the NVIDIA Container Toolkit, which mounts the library: "
            "`docker run --gpus all IMAGE`"
        )
    driver = f"driver {host.module.version}" if host.module else "the driver"
    return f"Install the user-space part of {driver} (Ubuntu: the libnvidia-compute package of the same branch)"


def _missing_on_windows(evidence: Evidence) -> DriverProblem:
    return DriverProblem(
        kind="library-missing",
        summary="Windows lists an NVIDIA display adapter, but the driver's nvml.dll cannot be loaded",
        causes=traces(evidence),
        hints=(
            "Install NVIDIA's driver for the card (or remove the entry of a card that is gone)",
            "If the CPU is what you want: `gpuenv create --profile cpu`",
        ),
    )


def library_outdated(evidence: Evidence, failure: NvmlFailure) -> DriverProblem:
    """A management library without the functions that every supported driver has: a stub, or a very old driver."""
    library = evidence.answer.library or "libnvidia-ml.so.1"
    stub = "/stubs/" in library
    return DriverProblem(
        kind="library-outdated",
        summary=f"{library} is a stub for linking, not a driver's library"
        if stub
        else f"{library} lacks the functions that every supported driver has",
        causes=(str(failure),),
        hints=(
            "Take the toolkit's stubs folder out of LD_LIBRARY_PATH: `unset LD_LIBRARY_PATH`"
            if stub
            else "Update the driver, and look again: `gpuenv doctor`",
        ),
    )


def _jetson(host: Host, loader: tuple[str, ...]) -> DriverProblem:
    return DriverProblem(
        kind="jetson",
        summary=f"this is an NVIDIA Jetson ({host.tegra}) whose JetPack has no NVML, so its GPU cannot be identified",
        causes=loader,
        hints=(
            "Jetsons before JetPack 7 need NVIDIA's own wheels for their JetPack, which no PyTorch index carries",
            "On JetPack 7 or newer install the package that brings libnvidia-ml.so.1, or write the machine down: "
            "`gpuenv resolve --machine machine.json`",
        ),
    )


def _not_installed(host: Host, evidence: Evidence) -> DriverProblem:
    nouveau = any(gpu.bound_to == "nouveau" for gpu in host.pci or ())
    return DriverProblem(
        kind="driver-not-installed",
        summary="there is an NVIDIA GPU, but NVIDIA's driver is not installed"
        + (" (the open-source driver nouveau holds it, which has no CUDA)" if nouveau else ""),
        causes=(*traces(evidence)[:4], "no libnvidia-ml in the usual folders, no nvidia kernel module loaded"),
        hints=(
            "Install NVIDIA's driver and reboot (Ubuntu: `sudo ubuntu-drivers install`; Fedora: akmod-nvidia; Debian: "
            "nvidia-driver)",
            "If the CPU is what you want: `gpuenv create --profile cpu`",
        ),
    )


def _places(remains: Remains) -> tuple[str, ...]:
    return (f"found: {', '.join(remains.libraries[:4])}",) if remains.libraries else ()
