"""What an installed torch says of itself, without importing it."""

from __future__ import annotations

import re
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.knowledge.rules import is_dotted

_CMAKE = "torch/share/cmake/Torch/TorchConfig.cmake"
_ABI = re.compile(r"_GLIBCXX_USE_CXX11_ABI=([01])")
_CUDA_CONFIG = "torch/include/ATen/cuda/CUDAConfig.h"
_ASSIGNED = r"^{name}(?:\s*:[^=\n]+)?\s*=\s*(?:['\"](?P<value>[^'\"\n]*)['\"]|None)\s*$"
_CODE = re.compile(r"code=\[?(?P<targets>[A-Za-z0-9_,]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFacts:
    """What an installed torch says of itself. ``cuda`` is empty for a build without CUDA."""

    version: str
    cuda: str
    git: str
    hip: str
    sass: tuple[str, ...] | None
    """Architectures with machine code, ascending; ``None`` where the installed files do not tell."""
    ptx: tuple[str, ...] | None
    origin: str
    """The file the architectures were read from, else the one that was missing."""
    cxx11_abi: bool | None = None
    """Whether it uses the newer ABI of GCC's library, as its extensions must; ``None`` where no file says."""


def read_torch(site: Path) -> TorchFacts | None:
    """Read what an installed torch says of itself, ``None`` without torch. ``import torch`` is not needed for that."""
    try:
        text = (site / "torch/version.py").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    cuda = _assigned(text, "cuda")
    cuda = cuda if is_dotted(cuda) else ""
    sass: tuple[str, ...] | None = ()
    ptx: tuple[str, ...] | None = ()
    origin = "torch/version.py"
    if cuda:
        origin = _CUDA_CONFIG
        try:
            sass, ptx = parse_targets((site / _CUDA_CONFIG).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            sass = ptx = None
    return TorchFacts(
        version=_assigned(text, "__version__"),
        cuda=cuda,
        git=_assigned(text, "git_version"),
        hip=_assigned(text, "hip"),
        sass=sass,
        ptx=ptx,
        origin=origin,
        cxx11_abi=_abi(site),
    )


def _abi(site: Path) -> bool | None:
    try:
        match = _ABI.search((site / _CMAKE).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return match[1] == "1" if match else None


def parse_targets(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the compiler's targets out of ``CUDAConfig.h``: machine code, and PTX.

    >>> parse_targets('"-gencode;arch=compute_90,code=sm_90;-gencode;arch=compute_120,code=compute_120"')
    (('sm_90',), ('compute_120',))
    """
    found = {target for match in _CODE.finditer(text) for target in match["targets"].split(",")}
    sass = tuple(sorted((each for each in found if each.startswith("sm_")), key=_order))
    ptx = tuple(sorted((each for each in found if each.startswith("compute_")), key=_order))
    return sass, ptx


def _order(target: str) -> tuple[int, str]:
    digits = re.sub(r"\D", "", target)
    return int(digits) if digits else 0, target


def _assigned(text: str, name: str) -> str:
    match = re.search(_ASSIGNED.format(name=re.escape(name)), text, re.MULTILINE)
    return (match["value"] or "") if match else ""
