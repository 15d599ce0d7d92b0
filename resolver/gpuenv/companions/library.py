"""Makes facts of the libraries of one package: what each holds, what it needs, how it is tied to torch and Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gpuenv.companions.elf import Linkage, read_elf
from gpuenv.dataclass import dataclass
from gpuenv.installed.fatbin import Data, DeviceCode, read_code
from gpuenv.installed.pe import Imports, read_pe
from gpuenv.knowledge.libraries import completed, nvidia_library, ptx_toolkit
from gpuenv.knowledge.torch_exports import is_stable
from gpuenv.model.library import LibraryFacts

_LIBRARY = re.compile(r"[^/]+\.(?:so(?:\.[0-9]+)*|pyd|dll)", re.IGNORECASE)
_TORCH = re.compile(r"_Z(?:T[A-Z])?(?:GV)?N?[KVrROS]*(?:2at|3c10|5torch|6caffe2)|(?:_Z\d+)?THP[A-Z]")
"""Names in torch's namespaces at, c10, torch and caffe2 (Itanium C++ ABI, mangling), and of its Python binding."""
_TORCH_DLL = re.compile(r"(?:c10|torch)(?:_\w+)?\.dll", re.IGNORECASE)
_PYTHON_DLL = re.compile(r"python3(\d*)(?:_d)?\.dll", re.IGNORECASE)
_PYTHON_SYMBOL = re.compile(r"_?Py[A-Z_]\w*")
_TAG = re.compile(r"\.(?:cpython-(3\d+t?)|cp(3\d+t?)-\w+|(abi3))[.-]")
_VENDOR_FOLDER = re.compile(r"(?:^|/)[^/]+\.libs/")
_VENDOR_NAME = re.compile(r"(.+?)-[0-9a-f]{8,}(\.(?:so.*|dll))")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawLibrary:
    """One library as it was read, before anything is known of its neighbours."""

    path: str
    size: int
    code: DeviceCode
    linkage: Linkage | tuple[Imports, ...]
    """Of an ELF file; of a PE file."""


def is_library(path: str) -> bool:
    """Whether a name is that of a shared library."""
    return _LIBRARY.fullmatch(path.rpartition("/")[2]) is not None


def read_raw(path: str, data: Data) -> RawLibrary:
    """Read one library. Raises :class:`~gpuenv.installed.fatbin.FatbinError` for what is none, or damaged."""
    code = read_code(data)
    linkage = read_pe(data) if data[0:2] == b"MZ" else read_elf(data)
    if isinstance(linkage, Linkage):  # what neighbours can take from it is all that is ever asked of what it defines
        kept = frozenset(name for name in linkage.defined if is_torch_symbol(name))
        linkage = Linkage(
            needed=linkage.needed,
            name=linkage.name,
            undefined=linkage.undefined,
            defined=kept,
            versions=linkage.versions,
        )
    return RawLibrary(path=path, size=len(data), code=code, linkage=linkage)


def make_facts(libraries: Iterable[RawLibrary]) -> tuple[LibraryFacts, ...]:
    """The facts of all libraries of a package together: a symbol that a neighbour defines is not asked of torch."""
    found = sorted(libraries, key=lambda each: each.path)
    inside = {name for each in found if isinstance(each.linkage, Linkage) for name in each.linkage.defined}
    return tuple(completed(_facts(each, inside)) for each in found)


def _facts(raw: RawLibrary, inside: set[str]) -> LibraryFacts:
    linkage = raw.linkage
    elf = isinstance(linkage, Linkage)
    needed = linkage.needed if isinstance(linkage, Linkage) else tuple(each.library for each in linkage)
    return LibraryFacts(
        path=raw.path,
        size=raw.size,
        format="elf" if elf else "pe",
        sass=raw.code.architectures,
        ptx=tuple(name for name, _ in raw.code.ptx),
        ptx_cuda=ptx_toolkit(raw.code.isa),
        relocatable=tuple(name for name, _ in raw.code.relocatable),
        needed=tuple(sorted(dict.fromkeys(needed))),
        torch_symbols=_torch_symbols(linkage, inside),
        python=_python(raw.path, linkage),
        glibc=_floor(linkage, "GLIBC_"),
        glibcxx=_floor(linkage, "GLIBCXX_"),
        vendored=_vendored(raw.path),
    )


def is_torch_symbol(symbol: str) -> bool:
    """Whether only torch's libraries can define a symbol, by its name."""
    return is_stable(symbol) or _TORCH.match(symbol) is not None


def _torch_symbols(linkage: Linkage | tuple[Imports, ...], inside: set[str]) -> tuple[str, ...]:
    if isinstance(linkage, Linkage):
        return tuple(sorted(name for name in linkage.undefined if name not in inside and is_torch_symbol(name)))
    return tuple(sorted({name for each in linkage if _TORCH_DLL.fullmatch(each.library) for name in each.symbols}))


def _python(path: str, linkage: Linkage | tuple[Imports, ...]) -> str:
    """By the tag in its name, as the import system reads it, where it needs an interpreter at all.

    What needs none of its symbols (torchao's ``_C_mxfp8.cpython-310-….so``) is loaded by torch, whatever its name says.
    """
    if isinstance(linkage, Linkage):
        minor, needs = "", any(map(_PYTHON_SYMBOL.fullmatch, linkage.undefined))
    else:
        dlls = [found for each in linkage if (found := _PYTHON_DLL.fullmatch(each.library))]
        minor, needs = next((found[1] for found in dlls if found[1]), ""), bool(dlls)
    if not needs:
        return ""
    if tag := _TAG.search(path.rpartition("/")[2]):
        return "abi3" if tag[3] else f"cpython-{tag[1] or tag[2]}"
    if isinstance(linkage, Linkage):
        return "any"
    return f"cpython-3{minor}" if minor else "abi3"


def _floor(linkage: Linkage | tuple[Imports, ...], prefix: str) -> str:
    """The highest version of a library's symbols that it needs: ``2.34`` of GLIBC_2.34."""
    names: Sequence[str] = linkage.versions if isinstance(linkage, Linkage) else ()
    found = [name.removeprefix(prefix).split(".") for name in names if name.startswith(prefix)]
    numbers = [tuple(map(int, parts)) for parts in found if all(part.isascii() and part.isdecimal() for part in parts)]
    return ".".join(map(str, max(numbers, default=())))


def _vendored(path: str) -> bool:
    """Whether it lies where wheels' repairers put copies, or is a library of NVIDIA's."""
    name = path.rpartition("/")[2]
    if renamed := _VENDOR_NAME.fullmatch(name):
        name = renamed[1] + renamed[2]
    return _VENDOR_FOLDER.search(path) is not None or nvidia_library(name) is not None
