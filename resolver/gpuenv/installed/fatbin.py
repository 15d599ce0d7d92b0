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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"\x50\xed\x55\xba"
SECTION = b".nv_fatbin"
PORTABLE_SECTION = b".nv_fatb"
"""A name in a PE file's table has eight bytes."""
PTX, SASS = 1, 2
MOST_SECTIONS = 4096


class FatbinError(ValueError):
    """The file is no library that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCode:
    """Counts of code images by architecture: ``(("sm_80", 475), …)``, ascending. ``fatbins`` counts their holders."""

    sass: tuple[tuple[str, int], ...]
    ptx: tuple[tuple[str, int], ...]
    fatbins: int

    @property
    def architectures(self) -> tuple[str, ...]:
        """Names of the machine code alone."""
        return tuple(name for name, _ in self.sass)


def read_library(path: Path) -> DeviceCode:
    """Read a library of any size without loading it: only the pages of its device code are touched."""
    with path.open("rb") as file:
        try:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # an empty file cannot be mapped
            raise FatbinError("the file is empty") from error
        with view:
            return read_code(view)


def read_code(data: bytes | mmap.mmap) -> DeviceCode:
    """Count the device code of an ELF or PE image. A library without any is a valid answer with no entries."""
    counts: Counter[tuple[int, int]] = Counter()
    fatbins = 0
    sections = _portable_sections if data[0:2] == b"MZ" else _sections
    for start, end in sections(data):
        for first, last in _fatbins(data, start, end):
            fatbins += 1
            counts.update(_entries(data, first, last))
    return DeviceCode(sass=_named(counts, SASS, "sm"), ptx=_named(counts, PTX, "compute"), fatbins=fatbins)


def _named(counts: Counter[tuple[int, int]], kind: int, prefix: str) -> tuple[tuple[str, int], ...]:
    rows = sorted((architecture, count) for (found, architecture), count in counts.items() if found == kind)
    return tuple((f"{prefix}_{architecture}", count) for architecture, count in rows)


def _sections(data: bytes | mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yield the bounds of every ``.nv_fatbin`` section (System V ABI, ELF-64 object file format, section headers)."""
    if len(data) < 64 or data[0:6] != b"\x7fELF\x02\x01":
        raise FatbinError("not a 64-bit little-endian ELF file")
    (table,) = struct.unpack("<Q", data[0x28:0x30])
    size, number, names_at = struct.unpack("<HHH", data[0x3A:0x40])
    if number == 0:
        return
    if size < 64 or number > MOST_SECTIONS or names_at >= number or table + size * number > len(data):
        raise FatbinError("the section table lies outside of the file")
    headers = [struct.unpack("<IIQQQQIIQQ", data[at : at + 64]) for at in range(table, table + size * number, size)]
    names = headers[names_at][4]
    for header in headers:
        at = names + header[0]
        if data[at : at + len(SECTION) + 1] != SECTION + b"\0":
            continue
        start, length = header[4], header[5]
        if start + length > len(data):
            raise FatbinError("the section of device code reaches past the end of the file")
        yield start, start + length


def _portable_sections(data: bytes | mmap.mmap) -> Iterator[tuple[int, int]]:
    """Yield the bounds of every ``.nv_fatb`` section of a Windows library (PE Format, section table)."""
    if len(data) < 64:
        raise FatbinError("the file ends within its first header")
    (at,) = struct.unpack("<I", data[0x3C:0x40])
    if at + 24 > len(data) or data[at : at + 4] != b"PE\0\0":
        raise FatbinError("neither an ELF nor a PE file")
    number, optional = struct.unpack("<2xH12xH", data[at + 4 : at + 22])
    table = at + 24 + optional
    if number > MOST_SECTIONS or table + 40 * number > len(data):
        raise FatbinError("the section table lies outside of the file")
    for row in range(table, table + 40 * number, 40):
        name, length, start = struct.unpack("<8s8xII", data[row : row + 24])
        if name != PORTABLE_SECTION:
            continue
        if start + length > len(data):
            raise FatbinError("the section of device code reaches past the end of the file")
        yield start, start + length


def _fatbins(data: bytes | mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int]]:
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


def _entries(data: bytes | mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield kind and architecture of each image of code; others, such as those for the linker (LTO), are passed over.

    The cursor only moves forward: a header is at least 64 bytes.
    """
    while at + 64 <= end:
        kind, _, header, length = struct.unpack("<HHIQ", data[at : at + 16])
        if header < 64 or at + header + length > end:
            return
        if kind in (PTX, SASS):
            (architecture,) = struct.unpack("<I", data[at + 28 : at + 32])
            yield kind, architecture
        at += header + length
