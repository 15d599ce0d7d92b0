"""The variables a payload gets: built from nothing, so that a person's shell cannot bend the result."""

from __future__ import annotations

from collections.abc import Mapping

KEPT = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR",
        "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "LOCALAPPDATA", "APPDATA",
        "NUMBER_OF_PROCESSORS", "CC", "CXX", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
        "TORCH_SYMM_MEM_DISABLE_MULTICAST", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA",
    }
)  # fmt: skip
"""``CUDA_VISIBLE_DEVICES`` is kept on purpose, and so is what limits the processor's instructions: every program of
this user will see them, so they belong to the verdict."""
KEPT_PREFIXES = ("LC_", "NCCL_", "NVSHMEM_")
"""Switches of the communication libraries protect shared machines (NVLink multicast, network interfaces)."""
TELLING = ("PYTHON", "LD_", "CUDA", "CUBLAS", "CUDNN", "NVIDIA_", "PYTORCH_", "TORCH", "TRITON_")
"""Prefixes of variables that change what Python, the loader, CUDA or torch do."""


def scrub(environ: Mapping[str, str], *, scratch: str) -> dict[str, str]:
    """Return the variables for a payload; every cache leads into ``scratch``, which is empty at the start."""
    kept = {name: value for name, value in environ.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
    return kept | {
        "CUDA_CACHE_PATH": f"{scratch}/cuda",
        "TRITON_CACHE_DIR": f"{scratch}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{scratch}/inductor",
        # Its worker processes would start without the environment's packages on their path.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "0",
        # Threads that wait for each other sleep: spinning takes the core from the one that is waited for (GNU's and
        # Intel's OpenMP). With two other programs on two cores a step took a tenth of the time.
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
    }


def dropped(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Name the variables that were left out although they change what programs do."""
    return tuple(
        sorted(
            name
            for name in environ
            if name.startswith(TELLING) and name not in KEPT and not name.startswith(KEPT_PREFIXES)
        )
    )
