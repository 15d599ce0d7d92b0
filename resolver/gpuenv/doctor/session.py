"""What the variables of a session do to CUDA programs in it; the folders they name are looked at, no more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from gpuenv.doctor.finding import Finding
from gpuenv.doctor.libraries import without
from gpuenv.shell import unset

CUDA_LIBRARIES = ("libnvJitLink.so", "libcudnn", "libcublas", "libcusparse.so", "libcudart.so", "libnccl.so")
"""Libraries that torch's wheels bring; another version of them on the loader's path wins over the wheel's."""

_warning = partial(Finding, subject="environment", severity="warning")

SHADOWS = ("pynvml.py", "pynvml", "torch", "torch.py", "triton")
"""What breaks GPU programs when a folder before the environment's own holds it."""


def diagnose_session(
    environ: Mapping[str, str],
    *,
    names_in: Callable[[str], list[str]] | None = None,
    writable: Callable[[str], bool] | None = None,
) -> tuple[Finding, ...]:
    """Find variables that change what torch loads or sees.

    ``names_in`` lists a folder, empty where there is none; ``writable`` says whether a file can be made in a folder.
    """
    listed = names_in or _names_in
    return (
        *_loader_path(environ, listed),
        *_variables(environ, listed),
        *_compile_cache(environ, writable or _writable),
    )


def _loader_path(environ: Mapping[str, str], names_in: Callable[[str], list[str]]) -> Iterator[Finding]:
    for variable in ("LD_PRELOAD", "LD_LIBRARY_PATH"):
        separators = environ.get(variable, "").replace(" ", ":" if variable == "LD_PRELOAD" else " ")
        places = [place for place in separators.split(":") if place]
        shadows, kept = [], []
        for place in places:
            names = [Path(place).name] if variable == "LD_PRELOAD" else names_in(place)
            hits = sorted(name for name in names if name.startswith(CUDA_LIBRARIES))
            if hits:
                shadows.append(f"{place}: {', '.join(hits[:3])}" + (" …" if len(hits) > 3 else ""))
            else:
                kept.append(place)
        if shadows:
            yield _warning(
                kind="loader-path",
                summary=f"{variable} puts a system CUDA before the libraries of torch's wheels",
                detail="; ".join(shadows) + "; the usual end is `undefined symbol: __nvJitLink…`",
                fix=without(variable, kept),
            )


def _variables(environ: Mapping[str, str], names_in: Callable[[str], list[str]]) -> Iterator[Finding]:
    for variable, summary in _SURPRISING.items():
        value = environ.get(variable)
        if not value or (variable in _SWITCHES and value.strip().lower() in ("0", "false", "off", "no")):
            continue
        detail = f"{variable}={value[:200]}"
        if variable == "PYTHONPATH":
            folders = value.split(os.pathsep)
            hidden = [f"{folder}/{name}" for folder in folders for name in names_in(folder) if name in SHADOWS]
            detail += f"; it hides the environment's own by {', '.join(sorted(hidden))}" if hidden else ""
        yield _warning(
            kind="variable",
            summary=f"{variable} {summary}",
            detail=detail,
            fix=unset(variable),
        )


def _compile_cache(environ: Mapping[str, str], writable: Callable[[str], bool]) -> Iterator[Finding]:
    folder = environ.get("CUDA_CACHE_PATH")
    if folder and not writable(folder):
        yield _warning(
            kind="compile-cache",
            summary="CUDA_CACHE_PATH names a folder that cannot be written: what the driver compiles is compiled again",
            detail=f"CUDA_CACHE_PATH={folder}",
            fix=unset("CUDA_CACHE_PATH"),
        )


_SURPRISING = {
    "PYTHONPATH": "puts folders before the environment's own packages",
    "PYTHONHOME": "moves Python's standard library, for every interpreter",
    "BNB_CUDA_VERSION": "makes bitsandbytes load the library of another CUDA",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "lets torch.cuda.is_available() say yes without CUDA",
    "CUDA_LAUNCH_BLOCKING": "makes every kernel wait for the one before",
    "CUDA_FORCE_PTX_JIT": "makes the driver compile every kernel at first use",
    "CUDA_DISABLE_PTX_JIT": "forbids the compilation that a wheel with PTX alone needs",
    "CUDA_CACHE_DISABLE": "makes the driver compile PTX again at every start",
}
_SWITCHES = frozenset(_SURPRISING) - {"PYTHONPATH", "PYTHONHOME", "BNB_CUDA_VERSION"}
"""Of these, the ones that 0 switches off."""


def _names_in(folder: str) -> list[str]:
    try:
        return [path.name for path in Path(folder).iterdir()]
    except OSError:
        return []


def _writable(folder: str) -> bool:
    """Whether a file can be made in the folder, or the folder be made."""
    path = Path(folder)
    while not path.exists() and path != path.parent:
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK)
