"""What the variables of a session do to CUDA programs in it; the folders they name are looked at, no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gpuenv.doctor.finding import Finding

CUDA_LIBRARIES = ("libnvJitLink.so", "libcudnn", "libcublas", "libcusparse.so", "libcudart.so", "libnccl.so")
"""Libraries that torch's wheels bring; another version of them on the loader's path wins over the wheel's."""


def diagnose_session(
    environ: Mapping[str, str], *, names_in: Callable[[str], list[str]] | None = None
) -> tuple[Finding, ...]:
    """Find variables that change what torch loads or sees. ``names_in`` lists a folder, empty where there is none."""
    listed = names_in or _names_in
    return (*_loader_path(environ, listed), *_variables(environ))


def _loader_path(environ: Mapping[str, str], names_in: Callable[[str], list[str]]) -> Iterator[Finding]:
    for variable in ("LD_PRELOAD", "LD_LIBRARY_PATH"):
        separators = environ.get(variable, "").replace(" ", ":" if variable == "LD_PRELOAD" else " ")
        places = [place for place in separators.split(":") if place]
        shadows = []
        for place in places:
            names = [Path(place).name] if variable == "LD_PRELOAD" else names_in(place)
            hits = sorted(name for name in names if name.startswith(CUDA_LIBRARIES))
            if hits:
                shadows.append(f"{place}: {', '.join(hits[:3])}" + (" …" if len(hits) > 3 else ""))
        if shadows:
            yield Finding(
                subject="environment",
                severity="warning",
                summary=f"{variable} puts a system CUDA before the libraries of torch's wheels",
                detail="; ".join(shadows) + "; the usual end is `undefined symbol: __nvJitLink…`",
                mend=f"unset {variable}",
            )


def _variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    for variable, summary in _SURPRISING.items():
        value = environ.get(variable)
        if value:
            yield Finding(
                subject="environment",
                severity="warning",
                summary=f"{variable} {summary}",
                detail=f"{variable}={value[:200]}",
                mend=f"unset {variable}",
            )


_SURPRISING = {
    "PYTHONPATH": "puts folders before the environment's own packages",
    "PYTHONHOME": "moves Python's standard library, for every interpreter",
    "BNB_CUDA_VERSION": "makes bitsandbytes load the library of another CUDA",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "lets torch.cuda.is_available() say yes without CUDA",
    "CUDA_LAUNCH_BLOCKING": "makes every kernel wait for the one before",
    "CUDA_FORCE_PTX_JIT": "makes the driver compile every kernel at first use",
    "CUDA_DISABLE_PTX_JIT": "forbids the compilation that a wheel with PTX alone needs",
}


def _names_in(folder: str) -> list[str]:
    try:
        return [path.name for path in Path(folder).iterdir()]
    except OSError:
        return []
