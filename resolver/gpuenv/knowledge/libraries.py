"""What the names of libraries say: which are NVIDIA's, of which CUDA, and how one that needs torch is tied to it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from gpuenv.knowledge import files
from gpuenv.knowledge.torch_exports import is_stable
from gpuenv.model.library import Binding, LibraryFacts, NvidiaLibrary

_ELF = re.compile(r"lib(.+?)\.so(?:\.(\d+)[\d.]*)?")
_PE = re.compile(r"(.+?)64_(\d+)(?:_\d+)?\.dll", re.IGNORECASE)


def nvidia_library(needed: str) -> NvidiaLibrary | None:
    """The library of NVIDIA's that a name asks for; ``None`` for all others, the driver's own among them.

    >>> nvidia_library("libcudart.so.12"), nvidia_library("cublasLt64_13.dll"), nvidia_library("libcuda.so.1")
    (NvidiaLibrary(name='cudart', major=12), NvidiaLibrary(name='cublasLt', major=13), None)
    """
    found = _ELF.fullmatch(needed) or _PE.fullmatch(needed)
    if found is None:
        return None
    table = _table()
    name = next((each for each in table if re.fullmatch(each, found[1], re.IGNORECASE)), None)
    if name is None:
        return None
    major = int(found[2]) if found[2] else None
    return NvidiaLibrary(name=found[1], major=_two_digits(name, major))


def cuda_major_of(libraries: Iterable[NvidiaLibrary]) -> int | None:
    """The CUDA major that libraries belong to: the highest where they name several; ``None`` where none tells."""
    return max((major for each in libraries if (major := _major(each)) is not None), default=None)


def binding_of(symbols: Iterable[str]) -> Binding:
    """How a library is tied to torch by the symbols that it needs of it."""
    found = {is_stable(symbol) for symbol in symbols}
    if not found:
        return "independent"
    return "bound" if False in found else "stable"


def ptx_toolkit(isa: str) -> str:
    """The CUDA toolkit that first made PTX of a version of its language: ``12.8`` of 8.7; empty where no table says."""
    return str(files.read("companions")["ptx"].get(isa, ""))


def completed(library: LibraryFacts) -> LibraryFacts:
    """Fill in what follows from a library's names: NVIDIA's libraries, CUDA's major, the binding."""
    nvidia = tuple(sorted(each for name in library.needed if (each := nvidia_library(name)) is not None))
    return replace(library, nvidia=nvidia, cuda_major=cuda_major_of(nvidia), binding=binding_of(library.torch_symbols))


def _major(library: NvidiaLibrary) -> int | None:
    rule = next((rule for name, rule in _table().items() if re.fullmatch(name, library.name, re.IGNORECASE)), None)
    if not rule or library.major is None:
        return None
    return library.major if isinstance(rule, str) else rule.get(str(library.major))


def _two_digits(name: str, major: int | None) -> int | None:
    """On Windows ``nvrtc64_120_0.dll`` and ``cudart64_110.dll`` hold major and minor."""
    return major // 10 if _table()[name] == "cuda" and major is not None and major >= 100 else major


@cache
def _table() -> dict[str, str | dict[str, int]]:
    """Rules by the pattern of a library's name: ``"cuda"``, the CUDA majors by its own, or nothing."""
    return dict(files.read("companions")["nvidia"]["libraries"])
