"""What a package with compiled code holds, library by library: the facts that say beside which torch it runs."""

from __future__ import annotations

from typing import Literal, NamedTuple

from gpuenv.dataclass import dataclass

Binding = Literal["independent", "stable", "bound"]
"""How a library is tied to torch: it needs none of its symbols; only those of the stable C interface, which run on
every later torch; or C++ symbols, which come and go between minor releases."""


class NvidiaLibrary(NamedTuple):
    """A library of NVIDIA's that a library asks the loader for: ``("cudart", 12)`` is ``libcudart.so.12``.

    ``major`` is that of its file's name; the loader asks for no minor. ``None`` where the name has none.
    """

    name: str
    major: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFacts:
    """One shared library, as the file itself tells. Every tuple is sorted; empty means none."""

    path: str
    """Its place in the wheel, or relative to the package folder of an environment; ``/`` between folders."""
    size: int = 0
    """Bytes, unpacked."""
    format: Literal["elf", "pe"] = "elf"
    sass: tuple[str, ...] = ()
    """Machine code that the driver loads: ``("sm_80", "sm_90a")``, ascending."""
    ptx: tuple[str, ...] = ()
    """``("compute_120",)``."""
    ptx_cuda: str = ""
    """The toolkit that made the newest PTX (``"12.9"``), from its ISA version; a driver that knows an older CUDA
    refuses it. Empty where there is none, or the ISA version is not in the tables."""
    relocatable: tuple[str, ...] = ()
    """Device code for a linker (``__nv_relfatbin``): ``cuobjdump`` lists it, the driver does not load it."""
    needed: tuple[str, ...] = ()
    """The libraries it asks the loader for: DT_NEEDED, or the DLLs of a PE file's import table."""
    nvidia: tuple[NvidiaLibrary, ...] = ()
    """Those of them that are NVIDIA's."""
    cuda_major: int | None = None
    """The CUDA major that its NVIDIA libraries belong to; ``None``: it asks for none whose name tells."""
    torch_symbols: tuple[str, ...] = ()
    """Undefined symbols that only libtorch defines, as the file spells them (mangled)."""
    binding: Binding = "independent"
    python: str = ""
    """What it needs of an interpreter: ``"cpython-310"`` (that one only), ``"abi3"`` (any from the wheel's tag on),
    ``"any"`` (symbols of Python, no tag in its name); empty for none."""
    glibc: str = ""
    """The least glibc (``"2.34"``), by the versions of the symbols it needs; empty for none."""
    glibcxx: str = ""
    """The least libstdc++, as its symbols are versioned (``"3.4.30"``)."""
    vendored: bool = False
    """A copy of somebody else's library (``torchvision.libs/libnvjpeg-….so``): its code is not the package's."""

    @property
    def name(self) -> str:
        """The file's name without folders."""
        return self.path.rpartition("/")[2]

    @property
    def has_device_code(self) -> bool:
        """Whether the driver finds code in it, compiled or as PTX."""
        return bool(self.sass or self.ptx)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFacts:
    """All libraries of one wheel or installed distribution, vendored copies included."""

    project: str
    """Normalized (PEP 503)."""
    version: str
    """With its local part (``2.8.3+cu12torch2.9``)."""
    filename: str = ""
    """The wheel's; empty for what was read in an environment."""
    sha256: str = ""
    """The wheel's; empty where only parts of it were read."""
    libraries: tuple[LibraryFacts, ...] = ()
    """Sorted by path."""
    unread: tuple[str, ...] = ()
    """Files that have a library's name and could not be read as one, each with the reason."""
    date: str = ""
    """The day on which it was read (ISO 8601)."""
    source: Literal["wheel", "table", "environment"] = "wheel"

    @property
    def empty(self) -> bool:
        """No library at all: a pure package, or the ``py3-none-any`` twin of a compiled one."""
        return not self.libraries

    @property
    def own(self) -> tuple[LibraryFacts, ...]:
        """Its libraries without vendored copies of others'."""
        return tuple(each for each in self.libraries if not each.vendored)

    @property
    def cuda_majors(self) -> tuple[int, ...]:
        """The CUDA majors that its own libraries need, ascending; bitsandbytes has one library for each."""
        return tuple(sorted({each.cuda_major for each in self.own if each.cuda_major is not None}))
