"""Writes the table of what the libraries of companions' wheels hold, and reads wheels for it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from packaging.version import Version
from table_text import quote

from gpuenv.companions.wheel import list_libraries, read_package
from gpuenv.index.wheelfile import open_wheel
from gpuenv.knowledge.names import platform_of_filename
from gpuenv.model.library import LibraryFacts, PackageFacts
from gpuenv.model.wheel import Wheel
from gpuenv.net.client import Client

PROJECTS = (
    "torchvision", "torchaudio", "torchcodec", "torchao", "xformers", "bitsandbytes", "sglang-kernel", "vllm",
    "fbgemm-gpu-genai", "torch-tensorrt", "onnxruntime-gpu", "cupy-cuda12x", "cupy-cuda13x", "jax-cuda12-plugin",
    "jax-cuda13-plugin", "triton", "transformer-engine-cu12", "transformer-engine-cu13",
)  # fmt: skip
KEYS = ("project", "version", "filename", "sha256", "date")
MOST = 70_000_000
"""Bytes of a wheel that is read for the table where nobody asks for more; larger ones are left out, and named."""
HEADER = """\
# What the libraries of companions' wheels on PyPI hold. Made by tools/update_tables.py --companions; do not edit.
# A library a line: its path, then key=value, separated by tabs. sass, ptx, relocatable: numbers of architectures.
# symbols: the torch symbols that it needs, by their place in the list at the end. Libraries that hold no device code
# and ask for neither torch nor NVIDIA's libraries, and copies of other projects' libraries, are left out.
"""


def newest(wheels: Iterable[Wheel], *, releases: int) -> list[Wheel]:
    """The newest releases for Linux: of each platform the wheel for CPython 3.12, or for any."""
    found = [each for each in wheels if (platform_of_filename(each.filename) or "").startswith("linux") and _fits(each)]
    versions = sorted({each.version for each in found}, key=Version)[-releases:]
    return sorted(
        (each for each in found if each.version in versions), key=lambda each: (Version(each.version), each.filename)
    )


def _fits(wheel: Wheel) -> bool:
    python, abi = wheel.filename.removesuffix(".whl").split("-")[-3:-1]
    return (python == "cp312" and not abi.endswith("t")) or abi in ("abi3", "none")


def read_companions(
    http: Client, wheels: Sequence[Wheel], known: Sequence[PackageFacts], *, most: int = MOST
) -> tuple[list[PackageFacts], list[str]]:
    """The facts of wheels, and the names of those that are too large. What is known by its hash is not read again."""
    by_hash = {each.sha256: each for each in known}
    facts, left = [], []
    for wheel in wheels:
        if wheel.sha256 in by_hash:
            facts.append(by_hash[wheel.sha256])
        elif (wheel.size or 0) > most:
            left.append(named_size(wheel))
        else:
            with open_wheel(wheel.url, http=http, filename=wheel.filename) as file:
                read = read_package(
                    file, list_libraries(file), project=wheel.project, version=wheel.version, sha256=wheel.sha256 or ""
                )
            print(f"read {wheel.filename}: {len(read.libraries)} libraries", file=sys.stderr)
            facts.append(read)
    return facts, left


def named_size(wheel: Wheel) -> str:
    """How the table names a wheel that was left out."""
    return f"{wheel.filename}: {(wheel.size or 0) / 1e6:.0f} MB"


def make_companion_facts(packages: Iterable[PackageFacts], *, left_out: Sequence[str], date: str) -> str:
    """The whole file."""
    rows = sorted(packages, key=lambda each: (each.project, Version(each.version), each.filename))
    symbols = sorted({name for each in rows for library in told(each) for name in library.torch_symbols})
    places = {name: str(place) for place, name in enumerate(symbols)}
    lines = [f'{HEADER}date = "{date}"', 'source = "wheels on PyPI, read whole"']
    lines.append("left_out = [" + "".join(f"\n  {quote(each)}," for each in sorted(left_out)) + "\n]")
    for each in rows:
        lines.append("\n[[wheels]]")
        lines += [
            f"{key} = {quote(getattr(each, key))}" for key in ("project", "version", "filename", "sha256", "date")
        ]
        body = "".join(_line(library, places) + "\n" for library in told(each))
        lines.append(f"libraries = '''\n{body}'''")
    lines.append("\n[torch]\nsymbols = '''\n" + "".join(f"{name}\n" for name in symbols) + "'''")
    return "\n".join(lines) + "\n"


def told(package: PackageFacts) -> tuple[LibraryFacts, ...]:
    """The libraries that say something of GPUs, torch or NVIDIA's libraries."""
    return tuple(each for each in package.own if each.has_device_code or each.torch_symbols or each.nvidia)


def _line(library: LibraryFacts, places: dict[str, str]) -> str:
    parts = {
        "size": str(library.size),
        "sass": _numbers(library.sass),
        "ptx": _numbers(library.ptx),
        "ptx_cuda": library.ptx_cuda,
        "relocatable": _numbers(library.relocatable),
        "needed": " ".join(library.needed),
        "python": library.python,
        "glibc": library.glibc,
        "glibcxx": library.glibcxx,
        "symbols": " ".join(places[name] for name in library.torch_symbols),
    }
    return "\t".join([library.path, *(f"{key}={value}" for key, value in parts.items() if value)])


def _numbers(codes: Iterable[str]) -> str:
    return " ".join(code.partition("_")[2] for code in codes)
