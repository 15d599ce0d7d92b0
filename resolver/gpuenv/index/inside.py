"""Understands what stands inside a wheel: torch's own build files and METADATA. Text in, values out."""

from __future__ import annotations

import re

from gpuenv.errors import IntegrityError
from gpuenv.index.names import NameFault, is_variant, parse_name
from gpuenv.knowledge.rules import is_dotted

CUDA_CONFIG = "torch/include/ATen/cuda/CUDAConfig.h"
VERSION = "torch/version.py"
_METADATA = re.compile(r"[^/]+\.dist-info/METADATA")
_FLAGS = re.compile(r"^\s*#define\s+NVCC_FLAGS_EXTRA\s+\"([^\"\n]*)\"", re.MULTILINE)
_CODE = re.compile(r"code=\[?([A-Za-z0-9_,]+)")
_TARGET = re.compile(r"(sm|compute)_(\d+)([a-z]?)")
_OWN_VERSION = re.compile(r"^__version__\s*(?::[^=\n]+)?=\s*['\"]([^'\"\n]*)", re.MULTILINE)
_ASSIGNMENT = re.compile(
    r"^(cuda|git_version|hip|rocm|xpu)\s*(?::[^=\n]+)?=\s*(?:None|'([^'\n]*)'|\"([^\"\n]*)\")", re.MULTILINE
)


def is_metadata(name: str) -> bool:
    """Tell whether a member's name is that of the wheel's METADATA."""
    return _METADATA.fullmatch(name) is not None


def compiled_for(header: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """SASS and PTX targets that ``CUDAConfig.h`` names; ``None`` where it has no flags.

    >>> compiled_for('#define NVCC_FLAGS_EXTRA "-gencode;arch=compute_90,code=sm_90;-gencode;arch=compute_120,'
    ...              'code=compute_120"')
    (('sm_90',), ('compute_120',))
    """
    match = _FLAGS.search(header)
    if match is None:
        return None
    targets = {target for codes in _CODE.findall(match[1]) for target in codes.split(",")}
    known = [(kind, int(number), suffix) for target in targets for kind, number, suffix in _TARGET.findall(target)]
    sass = tuple(f"{kind}_{number}{suffix}" for kind, number, suffix in sorted(known) if kind == "sm")
    ptx = tuple(f"{kind}_{number}{suffix}" for kind, number, suffix in sorted(known) if kind == "compute")
    return sass, ptx


def built_with(version_file: str) -> dict[str, str | None]:
    """The values of ``torch/version.py`` by name: ``cuda``, ``git_version``, ``hip``, ``xpu``; absent where not set, or
    where ``cuda`` is no version."""
    found = {name: single or double or None for name, single, double in _ASSIGNMENT.findall(version_file)}
    return {name: value for name, value in found.items() if name != "cuda" or value is None or is_dotted(value)}


def variant_in(version_file: str) -> str | None:
    """The build that a companion's ``version.py`` names in its version: ``cu130``, ``cpu``; ``None`` where it has none.

    >>> variant_in("__version__ = '2.11.0+cu130'")
    'cu130'
    """
    match = _OWN_VERSION.search(version_file)
    variant = match[1].partition("+")[2] if match else ""
    return variant if is_variant(variant) else None


def requirements_of(metadata: bytes, *, filename: str) -> tuple[tuple[str, ...], str | None]:
    """Requires-Dist and Requires-Python of METADATA.

    Raises :class:`IntegrityError` where it is METADATA of another package or version than the file's name says.
    """
    from packaging.metadata import parse_email
    from packaging.utils import canonicalize_name

    from gpuenv.metadata import parse_version

    raw, _ = parse_email(metadata)
    name = parse_name(filename)
    if isinstance(name, NameFault):
        raise IntegrityError(f"{filename} cannot be read", causes=[name.reason])
    same = parse_version(raw.get("version", "")) == parse_version(name.version)
    if not same or canonicalize_name(raw.get("name", "")) != name.project:
        raise IntegrityError(
            f"the metadata of {filename} is not its own",
            causes=[f"it says {raw.get('name', 'no name')} {raw.get('version', 'without a version')}"],
        )
    return tuple(raw.get("requires_dist", [])), raw.get("requires_python")
