"""What is wrong with each GPU and with the start of CUDA on it; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from gpuenv.doctor.finding import UNNAMED, By, Finding
from gpuenv.machine.cuda import Checkup, CudaAnswer
from gpuenv.machine.detection import Detection
from gpuenv.machine.linux import Host
from gpuenv.machine.nvml import NvmlGpu
from gpuenv.machine.problem import DMESG, keeper
from gpuenv.model.machine import Gpu
from gpuenv.shell import unset

FABRIC_DOWN = (1, 2)
"""nvmlGpuFabricState_t: not started, in progress."""
EXCLUSIVE, PROHIBITED = (1, 3), 2
"""nvmlComputeMode_t: one thread or one process; no CUDA at all."""
READ_LOG = f"Read what the driver complains of, and do what its Xid asks for: `{DMESG}`"
NO_DEVICE, UNKNOWN = 100, 999
"""CUDA_ERROR_NO_DEVICE and CUDA_ERROR_UNKNOWN of cuda.h."""

CODES: dict[int, tuple[str, str]] = {
    46: ("another process holds the GPU for itself (exclusive compute mode)", "nvidia-smi"),
    102: ("the virtual GPU has no licence", "sudo systemctl restart nvidia-gridd"),
    214: ("the GPU's memory has errors that cannot be corrected", "sudo nvidia-smi --gpu-reset"),
    802: ("the NVSwitch fabric is not up", "sudo systemctl enable --now nvidia-fabricmanager"),
    803: ("libcuda and the kernel module are of different versions", "sudo reboot"),
    804: ("libcuda is newer than the driver, which this card does not take", unset("LD_LIBRARY_PATH")),
    805: ("the daemon of the Multi-Process Service does not answer", unset("CUDA_MPS_PIPE_DIRECTORY")),
    806: ("the server of the Multi-Process Service failed", "echo quit | nvidia-cuda-mps-control"),
    807: ("the server of the Multi-Process Service is not ready", "echo quit | nvidia-cuda-mps-control"),
}
"""What codes of cuda.h mean that have a fix of their own."""
OF_THE_SESSION = frozenset({804, 805})
"""Those whose fix is a variable of the session."""


def doer(detection: Detection) -> By:
    """Who can change driver, devices and modes of the machine."""
    who = keeper(detection.evidence) if detection.evidence is not None else "you"
    return "yourself" if who == "you" else who


def diagnose_cards(detection: Detection, checkup: Checkup) -> Iterator[Finding]:
    """One finding for what is wrong with each GPU, or for its being in order."""
    evidence = detection.evidence
    told = {gpu.index: gpu for gpu in evidence.answer.gpus} if evidence else {}
    starts = dict(checkup.cuda.starts) if checkup.cuda is not None else {}
    by = doer(detection)
    alone = evidence is None or not evidence.jobs
    mig_told = detection.problem is not None and detection.problem.kind == "mig-empty"
    for gpu in detection.machine.gpus:
        answer = told.get(gpu.index)
        wrong = [] if answer is None else list(_states(gpu, answer, checkup, by, alone=alone, mig_told=mig_told))
        code = starts.get(gpu.uuid, 0)
        if code and not any(each.severity == "error" for each in wrong):
            wrong.append(_refused(gpu, code, by))
        yield from wrong
        if not wrong and not (mig_told and gpu.mig):
            yield _in_order(gpu, answer)


def _in_order(gpu: Gpu, answer: NvmlGpu | None) -> Finding:
    known = [f"{gpu.name}, compute capability {gpu.compute_capability}"]
    known += [f"{gpu.memory_bytes / 2**30:.0f} GiB"] if gpu.memory_bytes else []
    known += ["MIG"] if gpu.mig else []
    known += ["a virtual GPU with a licence"] if answer is not None and answer.licensed else []
    known += ["in exclusive compute mode"] if answer is not None and answer.mode in EXCLUSIVE else []
    return Finding(subject=f"GPU {gpu.index}", severity="ok", summary=", ".join(known), detail=gpu.uuid)


def _states(gpu: Gpu, answer: NvmlGpu, checkup: Checkup, by: By, *, alone: bool, mig_told: bool) -> Iterator[Finding]:
    found = partial(Finding, subject=f"GPU {gpu.index}", by=by)
    default = "`nvidia-smi -q -d COMPUTE` says Default"
    mode = partial(found, fix=f"sudo nvidia-smi -i {gpu.index} -c DEFAULT", check=default)
    if answer.fabric in FABRIC_DOWN:
        yield found(
            severity="error",
            kind="fabric-down",
            summary=f"{gpu.name} has not joined its NVSwitch fabric: CUDA answers 802 (system not yet initialized)",
            detail=f"fabric state {answer.fabric} (NVML)",
            fix="sudo systemctl enable --now nvidia-fabricmanager",
            check="`nvidia-smi -q | grep -A 2 Fabric` says Completed",
        )
    if gpu.mig and answer.slices == 0 and not mig_told:
        yield found(
            severity="warning",
            kind="mig-without-slices",
            summary=f"{gpu.name} is in MIG mode without a MIG device: CUDA finds nothing on it",
            detail="nvmlDeviceGetMigDeviceHandleByIndex found no device (NVML)",
            fix=f"sudo nvidia-smi mig -i {gpu.index} -cgi 0 -C",
            check="`nvidia-smi -L` lists a MIG device",
        )
    if answer.mode == PROHIBITED:
        summary = f"{gpu.name} is in compute mode Prohibited: no CUDA program starts on it"
        detail = "nvmlDeviceGetComputeMode (NVML)"
        yield mode(severity="error", kind="mode-prohibited", summary=summary, detail=detail)
    elif answer.mode in EXCLUSIVE and alone and not checkup.mps:
        summary = f"{gpu.name} is in exclusive compute mode: a second process on it fails (error 46)"
        detail = "nvmlDeviceGetComputeMode (NVML); no MPS daemon shares it"
        yield mode(severity="warning", kind="mode-exclusive", summary=summary, detail=detail)
    if answer.licensed is False:
        yield found(
            severity="warning",
            kind="vgpu-unlicensed",
            summary=f"{gpu.name} is a virtual GPU without a licence: it is slowed down, and CUDA may stop on it",
            detail="nvmlDeviceGetGridLicensableFeatures (NVML)",
            fix="Name the licence server in /etc/nvidia/gridd.conf, then run `sudo systemctl restart nvidia-gridd`",
            check="`nvidia-smi -q | grep -i license` says Licensed",
        )


def _refused(gpu: Gpu, code: int, by: By) -> Finding:
    means, act = CODES.get(code, ("NVML answers, and CUDA does not start on it", ""))
    reset = "sudo nvidia-smi --gpu-reset" if by == "yourself" else "Reset the GPU, or take it out of use"
    return Finding(
        subject=f"GPU {gpu.index}",
        severity="error",
        kind="cuda-refuses-the-card",
        summary=f"{gpu.name}: CUDA error {code}: {means}",
        detail="cuDevicePrimaryCtxRetain (libcuda)",
        fix=act or reset,
        by=by,
        check=UNNAMED,
    )


def diagnose_start(
    detection: Detection, checkup: Checkup, *, explained: Iterable[Finding], masked: bool
) -> Iterator[Finding]:
    """Why CUDA as a whole does not start where NVML answers, unless an error that was found says it.

    ``masked``: CUDA_VISIBLE_DEVICES is set, and may hide every GPU from CUDA.
    """
    evidence, asked = detection.evidence, checkup.cuda
    if evidence is None or detection.problem is not None or not detection.machine.gpus:
        return
    host, by = evidence.host, doer(detection)
    told = any(each.severity == "error" for each in explained) or bool(detection.partial)
    if host is not None and _lacks_uvm(host) and not (asked is not None and asked.works):
        certain = host.container or (asked is not None and asked.ending == "answered")
        yield _without_uvm(host, by, certain=certain)
    elif asked is not None and not told:
        yield from _failed(asked, len(detection.machine.gpus), host, by, masked=masked)


def _lacks_uvm(host: Host) -> bool:
    return bool(host.nodes) and not host.wsl and host.tegra is None and not host.has_node("nvidia-uvm")


def _without_uvm(host: Host, by: By, *, certain: bool) -> Finding:
    module = f", {_module(host)}" if host.uvm is not None else ""
    return Finding(
        subject="driver",
        severity="error" if certain else "warning",
        kind="uvm-missing",
        summary="the device node /dev/nvidia-uvm is missing, without which CUDA does not start",
        detail=f"/dev holds {', '.join(node.split()[0] for node in host.nodes[:4])}{module}",
        fix="Start the container with the node: `docker run --gpus all IMAGE`, or add `--device /dev/nvidia-uvm`"
        if host.container
        else "sudo nvidia-modprobe -u -c 0",
        by=by,
        check="`ls /dev/nvidia-uvm` lists it",
    )


def _module(host: Host) -> str:
    return f"the module nvidia_uvm is {'' if host.uvm else 'not '}loaded"


def _failed(asked: CudaAnswer, count: int, host: Host | None, by: By, *, masked: bool) -> Iterator[Finding]:
    error = partial(Finding, subject="driver", severity="error", detail="cuInit (libcuda)", by=by, check=UNNAMED)
    starts = f"CUDA does not start (error {asked.init})"
    if asked.ending in ("hung", "crashed"):
        how = "hangs" if asked.ending == "hung" else "crashes"
        summary = f"CUDA {how} when it starts, although NVML answers"
        yield error(kind="cuda-ends", summary=summary, detail=asked.reason, fix=READ_LOG)
    elif asked.init in CODES:
        means, act = CODES[asked.init]
        detail = "cuInit (libcuda), although NVML answers"
        by = "yourself" if asked.init in OF_THE_SESSION else by
        yield error(kind="cuda-error", summary=f"{starts}: {means}", detail=detail, fix=act, by=by)
    elif asked.init == UNKNOWN:  # the module behind unified memory did not come back, after sleep for instance
        wsl = host is not None and host.wsl
        uvm = f"; {_module(host).removeprefix('the module ')}" if host and host.uvm is not None and not wsl else ""
        yield error(
            kind="cuda-unknown-error",
            summary=f"{starts} though NVML answers: often so after the machine slept",
            detail=f"cuInit (libcuda){uvm}",
            fix="wsl --shutdown" if wsl else "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm",
        )
    elif asked.init == NO_DEVICE and not masked:
        summary = f"CUDA counts no GPU, and NVML lists {count}"
        detail = f"cuInit returned {NO_DEVICE} (libcuda)"
        yield error(kind="cuda-counts-none", summary=summary, detail=detail, fix=READ_LOG)
    elif asked.init not in (None, 0, NO_DEVICE):
        yield error(kind="cuda-error", summary=f"{starts} though NVML answers", fix=READ_LOG)
