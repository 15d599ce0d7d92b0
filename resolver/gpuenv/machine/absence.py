"""Explain a driver that is missing, wholly or in part, and a GPU that was not handed in: to a container, to a job."""

from __future__ import annotations

import re

from gpuenv.knowledge.scheduler import NO_DEVICE
from gpuenv.machine.linux import Host, Remains
from gpuenv.machine.nvml import NvmlFailure
from gpuenv.machine.problem import CPU, CommandHint, DriverProblem, Evidence, keeper, traces

OUT_OF_REACH = (None, 4, 6, 9, 17, 28, 999)
"""What NVML answers where the devices are there and this process may not touch them; ``None``: it counts no GPU."""


def left_outside(host: Host) -> bool:
    """A container on a machine with a GPU that was not handed in: the host's kernel shows, its device nodes do not."""
    return host.container and not host.nodes and not host.wsl and host.tegra is None


def absence_shown(evidence: Evidence) -> bool:
    """Whether something that could have shown an NVIDIA GPU shows none.

    A PCI bus with devices could, Windows' list of adapters, WSL's /dev/dxg, and an NVML that counts no GPU. A missing
    library could not: a container, a sandbox or a bare chroot on a machine full of GPUs looks the same.
    """
    host = evidence.host
    if host is None or host.pci is not None or host.wsl:
        return True
    return evidence.answer.ending == "answered"


def unseen(evidence: Evidence) -> DriverProblem:
    """Nothing here could have shown a GPU, so that its absence is not known."""
    host, failure, smi = evidence.host, evidence.answer.failure, evidence.smi
    contained = host is not None and host.container
    asked = evidence.visible is not None and evidence.visible.strip().lower() not in NO_DEVICE
    return DriverProblem(
        kind="unseen",
        summary="whether there is an NVIDIA GPU cannot be seen from inside this container"
        if contained
        else "whether there is an NVIDIA GPU in this machine cannot be seen",
        causes=(
            *((str(failure),) if failure else ()),
            "no PCI bus to look at: /sys/bus/pci/devices shows no device",
            *((f"this is a container ({host.container_by})",) if host is not None and contained else ()),
            *((smi.failure,) if smi is not None and smi.path is not None and smi.failure else ()),
            *((f"NVIDIA_VISIBLE_DEVICES={evidence.visible} asks for GPUs",) if asked else ()),
        ),
        hints=(_start_with_gpu(evidence),)
        if contained
        else (CommandHint("Let this process see /sys and /dev, and look again", "gpuenv doctor"),),
        options=(
            CPU,
            "Or say what the machine is, as `gpuenv detect --json` prints it elsewhere: `--machine machine.json`",
        ),
        by="the host's owner" if contained else "you",
    )


def not_given(evidence: Evidence, code: int | None) -> DriverProblem | None:
    """The scheduler gave this job no GPU, so that the node's are out of its reach; ``None`` where it is not that."""
    host = evidence.host
    for job in reversed(evidence.jobs):  # the outermost one holds the devices
        pod = job.name == "Kubernetes" and host is not None and left_outside(host)
        batch = job.name not in ("Kubernetes", "Ray") and job.given is not True
        if (pod and code in (*OUT_OF_REACH, 12)) or (batch and code in OUT_OF_REACH):
            return DriverProblem(
                kind="not-given",
                summary=f"this {job.place} was given no GPU",
                causes=(*((str(evidence.answer.failure),) if evidence.answer.failure else ()), *traces(evidence)[:3]),
                hints=(job.ask,),
                options=(CPU,),
            )
    return None


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
        hints=(_start_with_gpu(evidence),),
        options=(CPU,),
        by="the host's owner",
    )


def _start_with_gpu(evidence: Evidence) -> str:
    """How a container of this runtime is started with its host's GPUs, as far as it can be told which runtime it is."""
    mark = evidence.host.container_by if evidence.host is not None else ""
    if "singularity" in mark:
        return CommandHint("Start the container with the GPU", "apptainer exec --nv IMAGE COMMAND")
    if "containerenv" in mark or "libpod" in mark:
        return CommandHint("Start the container with the GPU", "podman run --device nvidia.com/gpu=all IMAGE")
    if "kubernetes" in mark:
        return "Start the container with the GPU: a limit `nvidia.com/gpu: 1` on it"
    return (
        "Start the container with the GPU: `docker run --gpus all IMAGE` (podman: `--device nvidia.com/gpu=all`; "
        "Kubernetes: a limit on nvidia.com/gpu)"
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
            CommandHint("Then look again", "gpuenv doctor"),
        )
    )
    return DriverProblem(
        kind="compute-library-missing",
        by=keeper(evidence),
        summary=f"{driver} answers, but its compute library libcuda is missing"
        + (" in this container" if contained else ""),
        causes=(str(failure),),
        hints=hints,
    )


def version_unknown(evidence: Evidence) -> DriverProblem:
    """The GPUs are known and the driver's version is not, without which no CUDA build can be said to run."""
    host, smi = evidence.host, evidence.smi
    wsl = host is not None and host.wsl
    return DriverProblem(
        kind="driver-version",
        summary="the GPU is known, and the version of its driver is not: no source tells it",
        causes=(
            f"NVML: {evidence.answer.driver_failure or evidence.answer.failure or 'gave no version'}",
            *((f"nvidia-smi: {smi.failure or 'gave no version'}",) if smi is not None else ()),
            *(() if host is None or wsl else ("no version in /sys/module/nvidia and /proc/driver/nvidia",)),
        ),
        hints=(CommandHint("In Windows, restart WSL", "wsl --shutdown"),)
        if wsl
        else (CommandHint("Read what the driver complains of", "sudo dmesg | grep -i nvrm"),),
        options=(CommandHint("Or write the version into a machine file by hand", "--machine machine.json"),),
        by="you" if wsl else keeper(evidence),
    )


def mig_empty(evidence: Evidence, names: tuple[str, ...]) -> DriverProblem:
    """GPUs in MIG mode of which no slice was made: CUDA counts slices only."""
    return DriverProblem(
        by=keeper(evidence),
        kind="mig-empty",
        summary=f"{', '.join(names)}: MIG mode is on and no MIG device exists, so CUDA finds nothing",
        causes=("nvmlDeviceGetMigDeviceHandleByIndex found no device",),
        hints=(
            CommandHint("Make the whole GPU one MIG device", "sudo nvidia-smi mig -cgi 0 -C"),
            CommandHint("Or switch MIG off", "sudo nvidia-smi -mig 0"),
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
            hints=(CommandHint("Reinstall the driver's packages, and look again", "gpuenv doctor"),),
            by=keeper(evidence),
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
    by = keeper(evidence)
    module = f" of the loaded kernel module {host.module.version} ({host.module.source})" if host.module else ""
    return DriverProblem(
        kind="library-missing",
        summary=f"the user-space library{module} is missing: libnvidia-ml.so.1 was not found",
        causes=(*loader, *traces(evidence)[:4]),
        hints=(_bring_library(host),),
        by=by,
    )


def _bring_library(host: Host) -> str:
    if host.wsl:
        return CommandHint("Update the NVIDIA driver in Windows, then restart WSL", "wsl --shutdown")
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
        hints=("Install NVIDIA's driver for the card (or remove the entry of a card that is gone)",),
        options=(CPU,),
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
            CommandHint("Take the toolkit's stubs folder out of LD_LIBRARY_PATH", "unset LD_LIBRARY_PATH")
            if stub
            else CommandHint("Update the driver, and look again", "gpuenv doctor"),
        ),
    )


def _jetson(host: Host, loader: tuple[str, ...]) -> DriverProblem:
    return DriverProblem(
        kind="jetson",
        summary=f"this is an NVIDIA Jetson ({host.tegra}) whose JetPack has no NVML, so its GPU cannot be identified",
        causes=loader,
        hints=(
            "A Jetson's driver and CUDA come with its JetPack, and before JetPack 7 only NVIDIA's own wheels run: name "
            "the index that has them for your JetPack: `--torch-index BASE`",
        ),
        options=(CommandHint("Say what the machine is in a machine file", "--machine machine.json"),),
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
        ),
        options=(CPU,),
    )


def _places(remains: Remains) -> tuple[str, ...]:
    return (f"found: {', '.join(remains.libraries[:4])}",) if remains.libraries else ()
