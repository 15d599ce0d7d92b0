"""Likely causes: what the messages of drivers, loaders and kernels mean, and the command that fixes it."""

from __future__ import annotations

import re
from typing import NamedTuple

from gpuenv.verify.hints import DOCTOR, EXPLAIN, RECREATE, UPGRADE
from gpuenv.verify.runner import PayloadEnded


class Cause(NamedTuple):
    """Why something failed, in one sentence, and what to type."""

    text: str
    hint: str


# First match wins: the more particular ones stand first.
_MESSAGES: tuple[tuple[str, str, str], ...] = (
    (
        r"no kernel image is available|cudaErrorNoKernelImageForDevice|CUDA_ERROR_NO_BINARY_FOR_GPU",
        "the installed wheels hold no machine code for this card",
        UPGRADE,
    ),
    (
        r"JIT compilation disabled|CUDA_ERROR_JIT_COMPILATION_DISABLED|\b223\b",
        "a library holds only PTX for this card, which the driver would have to compile at first use",
        UPGRADE,
    ),
    (
        r"PTX was compiled with an unsupported toolchain|CUDA_ERROR_UNSUPPORTED_PTX_VERSION|\b222\b",
        "the PTX in the wheel is of a newer CUDA than the driver knows",
        EXPLAIN,
    ),
    (
        r"driver version is insufficient|driver on your system is too old|CUDA_ERROR_INSUFFICIENT_DRIVER",
        "the NVIDIA driver is older than the wheel's CUDA needs",
        EXPLAIN,
    ),
    (
        r"SYSTEM_DRIVER_MISMATCH|driver/library version mismatch|\b803\b",
        "the driver library and the kernel module are of different versions",
        DOCTOR,
    ),
    (
        r"COMPAT_NOT_SUPPORTED|\b804\b",
        "a forward-compatibility driver library is on the loader path, and this card does not support it",
        DOCTOR,
    ),
    (
        r"SYSTEM_NOT_READY|system not yet initialized|\b802\b",
        "the NVLink fabric is not up: NVIDIA Fabric Manager does not run or does not match the driver",
        "sudo systemctl restart nvidia-fabricmanager",
    ),
    (
        r"Torch not compiled with CUDA enabled",
        "a CPU build of torch is installed",
        RECREATE,
    ),
    (
        r"operator torchvision::\w+ does not exist|torchvision::nms|undefined symbol|DLL load failed",
        "its compiled part was built for another torch",
        UPGRADE,
    ),
    (
        r"lib(cudart|cublas|cublasLt|cudnn|nccl|cusparse|cusolver|cufft|curand|nvrtc|cupti|nvshmem)\S*: cannot open",
        "a CUDA library that the wheel needs is not installed in this environment",
        RECREATE,
    ),
    (r"No module named '?torch'?", "torch is not installed in this environment", RECREATE),
    (
        r"CUDA out of memory|CUDA_ERROR_OUT_OF_MEMORY|OutOfMemoryError",
        "the card's memory is taken, by another program or by too large a batch",
        "nvidia-smi",
    ),
    (
        r"Failed to find C compiler|InvalidCxxCompiler|No working C\+\+ compiler|gcc.*not found",
        "Triton builds a small launcher with a C compiler, and there is none",
        DOCTOR,
    ),
    (
        r"Python\.h: No such file",
        "Triton builds a small launcher against Python's C headers, and they are not installed",
        DOCTOR,
    ),
    (
        r"Cannot find a working triton|No module named 'triton'|TritonMissing",
        "Triton is missing or does not start",
        RECREATE,
    ),
    (
        r"ptxas fatal.*is not defined|ptxas.*Unsupported",
        "Triton's assembler is older than this card",
        UPGRADE,
    ),
    (
        r"device-side assert|illegal memory access|unspecified launch failure|CUDA_ERROR_ILLEGAL",
        "a kernel crashed on the card: a wrong kernel, or a fault of the card",
        "sudo dmesg | grep -i xid",
    ),
    (
        r"no CUDA-capable device|No CUDA GPUs are available|CUDA_ERROR_NO_DEVICE|invalid device ordinal",
        "the driver shows no GPU to this process",
        DOCTOR,
    ),
    (
        r"unknown error|CUDA_ERROR_UNKNOWN|initialization error|\b999\b",
        "the driver does not start",
        DOCTOR,
    ),
)

_SIGNALS = {
    9: ("the system killed the process, as it does when the machine or its container runs out of memory", "free -h"),
    11: ("the process crashed inside a compiled library", DOCTOR),
    6: ("a compiled library gave up", DOCTOR),
    4: ("a compiled library uses processor instructions that this CPU does not have", "lscpu"),
    7: ("the process lost its memory: a full /dev/shm or a damaged file does this", "df -h /dev/shm"),
}


def of_message(error: str, *, otherwise: Cause | None = None) -> Cause:
    """Return the cause that somebody else's error message points to."""
    for pattern, cause, hint in _MESSAGES:
        if re.search(pattern, error):
            return Cause(cause, hint)
    return otherwise or Cause(error.strip().splitlines()[0][:300] if error.strip() else "unknown", DOCTOR)


def of_ending(ended: PayloadEnded) -> Cause | None:
    """Return why a process did not come to its end; ``None`` for one that did, whatever it found."""
    doing = f"it was at '{ended.last}'"
    left = "; even a kill did not end it: the kernel holds it, as with a hung GPU" if ended.stuck else ""
    match ended.ending:
        case "exited" if ended.status in (0, 1):
            return None
        case "exited":
            return Cause(f"the process ended with status {ended.status}; {doing}", DOCTOR)
        case "signal":
            why, hint = _SIGNALS.get(ended.status, ("the process was ended by a signal", DOCTOR))
            return Cause(f"signal {ended.status}: {why}; {doing}", hint)
        case "deadline":
            return Cause(f"not finished at the deadline; {doing}{left}", "nvidia-smi")
        case "silence":
            text = f"nothing was heard for too long and it was ended; {doing}: a hung device looks like this{left}"
            return Cause(text, "nvidia-smi")
        case "not-started":
            return Cause(f"the environment's interpreter does not start: {' '.join(ended.stderr)}", RECREATE)
