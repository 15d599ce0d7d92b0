"""Reads which GPUs a shared library holds code for, out of the library itself.

CUDA's compiler puts machine code (SASS) and PTX into "fat binaries" in the ELF section ``.nv_fatbin``, on Windows in
the PE section ``.nv_fatb``. The layout is not documented by NVIDIA; it was worked out on libraries of known content and
gives ``cuobjdump``'s counts. Every offset is checked: a damaged file ends in :class:`FatbinError`, never in a loop or a
read outside of the section.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gpuenv.dataclass import dataclass

MAGIC = b"\x50\xed\x55\xba"
SECTION, RELOCATABLE = b".nv_fatbin", b"__nv_relfatbin"
PORTABLE_SECTION = b".nv_fatb"
"""A name in a PE file's table has eight bytes."""
PTX, SASS = 1, 2
MOST_SECTIONS = 4096
Data = bytes | bytearray | mmap.mmap
_SUFFIXES = ((1 << 20, "a"), (1 << 21, "f"))
"""Bits of an image's flags, as cuobjdump names images that have them: sm_90a, sm_100f."""


class FatbinError(ValueError):
    """The file is no library that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """Counts of code images by architecture: ``(("sm_80", 475), …)``, ascending. ``fatbins`` counts their holders."""

    sass: tuple[tuple[str, int], ...]
    ptx: tuple[tuple[str, int], ...]
    fatbins: int
    isa: str = ""
    """The newest version of the PTX language among them (``"8.7"``); empty for no PTX."""
    relocatable: tuple[tuple[str, int], ...] = ()
    """Machine code that only a linker takes (ELF section ``__nv_relfatbin``)."""

    @property
    def architectures(self) -> tuple[str, ...]:
        """Names of the machine code alone."""
        return tuple(name for name, _ in self.sass)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section of an ELF or PE file, inside of the file. ``kind`` and ``link`` are ELF's; ``address`` is PE's."""

    name: bytes
    start: int
    size: int
    kind: int = 0
    link: int = 0
    address: int = 0


class _Image(NamedTuple):
    kind: int
    architecture: int
    suffix: str
    isa: tuple[int, int]


def read_library(path: Path) -> DeviceCode:
    """Read a library of any size without loading it: only the pages of its device code are touched."""
    with mapped(path) as view:
        return read_code(view)


@contextmanager
def mapped(path: Path) -> Iterator[mmap.mmap]:
    """Map a file into memory for reading."""
    with path.open("rb") as file:
        try:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # an empty file cannot be mapped
            raise FatbinError("the file is empty") from error
        with view:
            yield view


def read_code(data: Data) -> DeviceCode:
    """Count the device code of an ELF or PE image. A library without any is a valid answer with no entries."""
    portable = data[0:2] == b"MZ"
    sections = portable_sections(data) if portable else elf_sections(data)
    name = PORTABLE_SECTION if portable else SECTION
    counts, fatbins = _counted(data, [each for each in sections if each.name == name])
    relocatable, _ = _counted(data, [each for each in sections if each.name == RELOCATABLE])
    isa = max((image.isa for image in counts if image.kind == PTX), default=None)
    return DeviceCode(
        sass=_named(counts, SASS, "sm"),
        ptx=_named(counts, PTX, "compute"),
        fatbins=fatbins,
        isa=f"{isa[0]}.{isa[1]}" if isa else "",
        relocatable=_named(relocatable, SASS, "sm"),
    )


def _counted(data: Data, sections: Sequence[Section]) -> tuple[Counter[_Image], int]:
    counts: Counter[_Image] = Counter()
    fatbins = 0
    for section in sections:
        for first, last in _fatbins(data, section.start, section.start + section.size):
            fatbins += 1
            counts.update(_entries(data, first, last))
    return counts, fatbins


def _named(counts: Counter[_Image], kind: int, prefix: str) -> tuple[tuple[str, int], ...]:
    rows: Counter[tuple[int, str]] = Counter()
    for image, count in counts.items():
        if image.kind == kind:
            rows[image.architecture, image.suffix] += count
    return tuple((f"{prefix}_{number}{suffix}", count) for (number, suffix), count in sorted(rows.items()))


def elf_sections(data: Data) -> tuple[Section, ...]:
    """All sections that take room in the file (System V ABI, ELF-64 object file format, section headers).

    In the file's order, with an empty one for each that takes none, so that links between them hold.
    """
    if len(data) < 64 or data[0:6] != b"\x7fELF\x02\x01":
        raise FatbinError("not a 64-bit little-endian ELF file")
    (table,) = struct.unpack("<Q", data[0x28:0x30])
    size, number, names_at = struct.unpack("<HHH", data[0x3A:0x40])
    if number == 0:
        return ()
    if size < 64 or number > MOST_SECTIONS or names_at >= number or table + size * number > len(data):
        raise FatbinError("the section table lies outside of the file")
    headers = [struct.unpack("<IIQQQQIIQQ", data[at : at + 64]) for at in range(table, table + size * number, size)]
    names = headers[names_at][4]
    found = []
    for name_at, kind, _, _, start, length, link, *_ in headers:
        if kind in _NO_ROOM:
            found.append(Section(name=b"", start=0, size=0, kind=kind))
            continue
        if start + length > len(data):
            raise FatbinError("a section reaches past the end of the file")
        end = data.find(b"\0", names + name_at, names + name_at + _LONGEST_NAME)
        name = bytes(data[names + name_at : end]) if end >= 0 else b""
        found.append(Section(name=name, start=start, size=length, kind=kind, link=link))
    return tuple(found)


_NO_ROOM = (0, 8)
"""SHT_NULL and SHT_NOBITS."""
_LONGEST_NAME = 256


def portable_sections(data: Data) -> tuple[Section, ...]:
    """All sections of a Windows library (PE Format, section table)."""
    if len(data) < 64:
        raise FatbinError("the file ends within its first header")
    (at,) = struct.unpack("<I", data[0x3C:0x40])
    if at + 24 > len(data) or data[at : at + 4] != b"PE\0\0":
        raise FatbinError("neither an ELF nor a PE file")
    number, optional = struct.unpack("<2xH12xH", data[at + 4 : at + 22])
    table = at + 24 + optional
    if number > MOST_SECTIONS or table + 40 * number > len(data):
        raise FatbinError("the section table lies outside of the file")
    found = []
    for row in range(table, table + 40 * number, 40):
        name, _, address, length, start = struct.unpack("<8sIIII", data[row : row + 24])
        if start + length > len(data):
            raise FatbinError("a section reaches past the end of the file")
        found.append(Section(name=name.rstrip(b"\0"), start=start, size=length, address=address))
    return tuple(found)


def _fatbins(data: Data, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the bounds of the entries of each fat binary."""
    at = start
    while (at := data.find(MAGIC, at, end)) >= 0:
        if at + 16 > end:
            return
        _, header, length = struct.unpack("<HHQ", data[at + 4 : at + 16])
        if header != 16 or at + 16 + length > end:
            at += 4  # the four bytes occur by chance in code, too
            continue
        yield at + 16, at + 16 + length
        at += 16 + length


def _entries(data: Data, at: int, end: int) -> Iterator[_Image]:
    """Yield each image of code; others, such as those for the linker (LTO), are passed over.

    The cursor only moves forward: a header is at least 64 bytes.
    """
    while at + 64 <= end:
        kind, _, header, length = struct.unpack("<HHIQ", data[at : at + 16])
        if header < 64 or at + header + length > end:
            return
        if kind in (PTX, SASS):
            minor, major, architecture, flags = struct.unpack("<HHI8xQ", data[at + 24 : at + 48])
            suffix = next((letter for bit, letter in _SUFFIXES if flags & bit), "")
            yield _Image(kind, architecture, suffix, (major, minor))
        at += header + length
