"""Tell a broken driver's faults apart, and say what to do about each.

Pure: evidence goes in, a :class:`DriverProblem` comes out, or ``None`` where there simply is no NVIDIA GPU. The codes
are nvml.h's ``nvmlReturn_t``.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gpuenv.machine.absence import (
    absence_shown,
    container_without_gpu,
    left_outside,
    library_missing,
    library_outdated,
    not_given,
    unseen,
)
from gpuenv.machine.nvml import NvmlFailure
from gpuenv.machine.problem import DMESG, CommandHint, DriverProblem, Evidence, Kind, keeper, traces

WITHOUT_CARD = frozenset({None, 9, 12, 13, 28})
"""What NVML also answers on a machine without a card: no GPU, not loaded, no library, a stub of it, not found."""

USERS_OWN = frozenset({"busy", "library-outdated", "jetson"})
"""Problems that are in the session, the image or nobody's hands, wherever they are met."""

REBOOT = CommandHint("Reboot", "sudo reboot")
OR_REBOOT = CommandHint("Or reboot", "sudo reboot")
UNREADABLE: tuple[Kind, str, tuple[str, ...]] = (
    "gpu-unreadable", "does not say what it is", (CommandHint("Read why", DMESG), REBOOT),
)  # fmt: skip
OF_GPU: dict[int | None, tuple[Kind, str, tuple[str, ...]]] = {
    15: (
        "gpu-lost",
        "has fallen off the bus",
        (REBOOT, CommandHint("If it returns, check power, slot and cooling", "sudo dmesg | grep -i xid")),
    ),
    16: (
        "reset-required",
        "must be reset before it can be used",
        (CommandHint("End the programs on it and reset it", "sudo nvidia-smi --gpu-reset"), OR_REBOOT),
    ),
    8: ("insufficient-power", "has no external power", ("Connect the power cables of the card",)),
    11: (
        "interrupt",
        "gets no interrupts from the system",
        (
            CommandHint("Read why", "sudo dmesg | grep -i -e nvrm -e irq"),
            "Update the firmware of the mainboard",
        ),
    ),
}
"""What single cards suffer from, by NVML's code: kind, what is said of the card, what to do."""


def explain(evidence: Evidence) -> DriverProblem | None:
    """Say why NVML gave no GPU; ``None`` where there is no NVIDIA GPU.

    Asked only when there is no usable GPU. Absence is believed only where something could have shown a presence: a PCI
    bus without an NVIDIA display device, a registry without an adapter, an NVML that counts none; and never against a
    code that only a driver with a card gives.
    """
    answer, host = evidence.answer, evidence.host
    if answer.ending == "hung":
        return replace(_hang(evidence), by=keeper(evidence))
    if answer.ending == "crashed":
        return replace(_crash(evidence), by=keeper(evidence))
    code = answer.failure.code if answer.failure else None
    if code in WITHOUT_CARD and not traces(evidence):
        return None if absence_shown(evidence) else not_given(evidence, code) or unseen(evidence)
    if (left_out := not_given(evidence, code)) is not None:
        return left_out
    if answer.ending == "not-asked":
        return _not_asked(evidence)
    if host is not None and left_outside(host) and code in (None, 9, 12, 17, 999):
        return container_without_gpu(evidence, host)
    if answer.failure is None or code == 28:
        return replace(_no_device(evidence), by=keeper(evidence))
    return by_code(answer.failure, evidence)


def by_code(failure: NvmlFailure, evidence: Evidence, subject: str = "") -> DriverProblem:
    """Explain one of NVML's codes. ``subject`` names the GPU where one alone is meant."""
    problem = _by_code(failure, evidence, subject)
    contained = evidence.host is not None and evidence.host.container
    own = problem.kind in USERS_OWN or (problem.kind == "version-mismatch" and contained)
    return problem if own else replace(problem, by=keeper(evidence))


def _by_code(failure: NvmlFailure, evidence: Evidence, subject: str) -> DriverProblem:
    of = f" for {subject}" if subject else ""
    match failure.code:
        case 12:
            return library_missing(evidence)
        case 13:
            return library_outdated(evidence, failure)
        case 9:
            return _not_loaded(evidence, failure)
        case 18:
            return _mismatch(evidence, failure)
        case 4:
            return _no_permission(evidence, failure, of)
        case 17:
            return _blocked(failure, of)
        case 999:
            return _unknown_error(evidence, failure, of)
        case 10 | 19 | 20 | 23 | 27 | 29:
            return _busy(failure, of)
        case _:
            return _of_gpu(failure, subject or "a GPU")


def of_gpu(failure: NvmlFailure, evidence: Evidence, subject: str) -> DriverProblem:
    """Explain why one GPU among others cannot be used."""
    if failure.code in (4, 10, 17, 19, 20, 23, 27, 29, 999):
        return by_code(failure, evidence, subject)
    return replace(_of_gpu(failure, subject), by=keeper(evidence))


def _not_loaded(evidence: Evidence, failure: NvmlFailure) -> DriverProblem:
    host, remains = evidence.host, evidence.remains
    causes = [str(failure), *traces(evidence)[:4]]
    hints: list[str] = []
    if host is not None and host.wsl:
        causes.append(f"the library loaded is {evidence.answer.library or 'unknown'}")
        hints += [
            CommandHint(
                "Remove the Linux driver from WSL, which works with the one in Windows",
                "sudo apt purge 'libnvidia-*' 'nvidia-driver-*'",
            ),
            CommandHint("Then restart WSL", "wsl --shutdown"),
        ]
    elif host is not None and host.module is not None:
        causes.append(f"the kernel module {host.module.version} is loaded ({host.module.source})")
        hints.append(CommandHint("Create the device nodes", "sudo nvidia-modprobe -u -c 0"))
    else:
        if host is not None and any(gpu.bound_to == "nouveau" for gpu in host.pci or ()):
            causes.append("nouveau holds the GPU")
            hints.append(CommandHint("Reboot, so that NVIDIA's module takes the GPU instead of nouveau", "sudo reboot"))
        if remains.module_built is False:
            causes.append(f"no nvidia module is built for kernel {remains.kernel} (modules.dep)")
            hints.append(f"Build it: install the headers of {remains.kernel}, then `sudo dkms autoinstall`")
        elif remains.secure_boot:
            causes.append("Secure Boot is on, so the kernel refuses modules that are not signed")
            hints.append(
                CommandHint(
                    "Enrol the key that signs the module",
                    "sudo mokutil --import /var/lib/dkms/mok.pub",
                    ", then reboot",
                )
            )
        hints.append(
            CommandHint("Load the module and read why it refuses", "sudo modprobe nvidia; sudo dmesg | grep -i nvrm")
        )
    return DriverProblem(
        kind="driver-not-loaded",
        summary="NVIDIA's driver is installed, but its kernel module is not loaded"
        if host is None or host.module is None
        else "the driver's library cannot reach the loaded kernel module",
        causes=tuple(causes),
        hints=tuple(hints) or (CommandHint("Reinstall the driver, and look again", "gpuenv doctor"),),
    )


def _mismatch(evidence: Evidence, failure: NvmlFailure) -> DriverProblem:
    host = evidence.host
    module = f"{host.module.version} ({host.module.source})" if host and host.module else "unknown"
    match = re.search(r"libnvidia-ml\.so\.(\d+(?:\.\d+)+)$", evidence.answer.library or "")
    library = f"{match[1]} ({evidence.answer.library})" if match else (evidence.answer.library or "unknown")
    contained = host is not None and host.container
    return DriverProblem(
        kind="version-mismatch",
        summary=f"the driver's kernel module and its library differ: module {module}, library {library}",
        causes=(
            str(failure),
            "the image brings driver libraries of its own" if contained else "the driver was updated without a reboot",
        ),
        hints=(
            (
                "Remove the driver packages (libnvidia-*, libcuda*) from the image: the container runtime mounts the "
                "host's",
            )
            if contained
            else (
                REBOOT,
                "Or, with no program on the GPU, reload the module: `sudo rmmod nvidia_uvm nvidia_drm nvidia_modeset "
                "nvidia && sudo modprobe nvidia`",
            )
        ),
    )


def _no_permission(evidence: Evidence, failure: NvmlFailure, of: str) -> DriverProblem:
    nodes = evidence.host.nodes if evidence.host else ()
    return DriverProblem(
        kind="no-permission",
        summary=f"this user may not use the NVIDIA driver{of}",
        causes=(str(failure), *nodes),
        hints=(
            CommandHint(
                "Join the group that owns the device nodes and log in again", "sudo usermod -aG video,render $USER"
            ),
        ),
    )


def _blocked(failure: NvmlFailure, of: str) -> DriverProblem:
    return DriverProblem(
        kind="blocked",
        summary=f"the operating system blocks access to the NVIDIA driver{of} (a control group or sandbox)",
        causes=(str(failure),),
        hints=(
            "In a container: start it with `--gpus all`, or pass /dev/nvidiactl, /dev/nvidia-uvm and /dev/nvidia0 with "
            "`--device`",
        ),
    )


def _unknown_error(evidence: Evidence, failure: NvmlFailure, of: str) -> DriverProblem:
    contained = evidence.host is not None and evidence.host.container
    return DriverProblem(
        kind="devices-lost" if contained else "unknown",
        summary=f"the container has lost its access to the GPU{of}"
        if contained
        else f"the NVIDIA driver answers with an unknown error{of}",
        causes=(
            str(failure),
            "`systemctl daemon-reload` on the host takes the devices away from running containers"
            if contained
            else "often after the machine slept, or with the module nvidia_uvm missing",
        ),
        hints=(
            ("Restart the container; for good, let the runtime use CDI or /dev/char links on the host",)
            if contained
            else (
                CommandHint("Reload the module", "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm"),
                OR_REBOOT,
            )
        ),
    )


def _busy(failure: NvmlFailure, of: str) -> DriverProblem:
    return DriverProblem(
        kind="busy",
        summary=f"the NVIDIA driver could not answer{of}, asked twice",
        causes=(str(failure),),
        hints=(
            CommandHint("Try again", "gpuenv detect"),
            CommandHint("If it stays", DMESG),
        ),
    )


def _of_gpu(failure: NvmlFailure, subject: str) -> DriverProblem:
    kind, says, hints = OF_GPU.get(failure.code, UNREADABLE)
    return DriverProblem(kind=kind, summary=f"{subject} {says}", causes=(str(failure),), hints=hints)


def _no_device(evidence: Evidence) -> DriverProblem:
    driver = evidence.answer.driver or (evidence.host.module.version if evidence.host and evidence.host.module else "")
    return DriverProblem(
        kind="no-device",
        summary=f"driver {driver} (NVML) runs, and finds no GPU that it can use"
        if driver
        else "the NVIDIA driver runs, and finds no GPU that it can use",
        causes=traces(evidence)[:4],
        hints=(
            CommandHint("Read why the driver refuses the card", "sudo dmesg | grep -i nvrm"),
            "New cards need the open kernel module, old ones an older driver branch; some need Resizable BAR and "
            "Above 4G decoding in the firmware",
        ),
    )


def _hang(evidence: Evidence) -> DriverProblem:
    failure = evidence.answer.failure
    known = f"driver {evidence.answer.driver} (NVML)" if evidence.answer.driver else "the NVIDIA driver"
    return DriverProblem(
        kind="hang",
        summary=f"{known} hangs when it is asked about the GPU",
        causes=(f"{failure.function}: {failure.text}" if failure else "no answer",),
        hints=(
            CommandHint("Read what the driver complains of", DMESG),
            CommandHint(
                "Reboot; if cards only start slowly, keep them awake", "sudo systemctl enable --now nvidia-persistenced"
            ),
        ),
    )


def _crash(evidence: Evidence) -> DriverProblem:
    failure, library = evidence.answer.failure, evidence.answer.library
    return DriverProblem(
        kind="crash",
        summary="the NVIDIA driver's library crashes when it is asked about the GPU",
        causes=(
            f"{failure.function}: {failure.text}" if failure else "the child ended",
            *((f"the library is {library}",) if library else ()),
        ),
        hints=(CommandHint("Reinstall the driver's packages, then reboot", "sudo reboot"),),
    )


def _not_asked(evidence: Evidence) -> DriverProblem:
    failure = evidence.answer.failure
    smi = evidence.smi
    return DriverProblem(
        kind="unknown",
        summary="NVML could not be asked, and nvidia-smi did not answer either",
        causes=(
            *((failure.text,) if failure else ()),
            *((smi.failure,) if smi and smi.failure else ()),
            *traces(evidence)[:2],
        ),
        hints=(CommandHint("Install gpuenv again, with its dependencies, and look again", "gpuenv doctor"),),
    )
