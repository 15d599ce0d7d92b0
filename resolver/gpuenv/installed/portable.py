"""Reads which libraries a Windows library asks the loader for, out of the file itself (PE format).

Every offset is checked: a damaged file ends in :class:`PortableError`, never in a loop or a read outside of it.
Source: "PE Format" of Microsoft's documentation, the import and the delay-load import tables.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_SECTIONS, MOST_IMPORTS, LONGEST_NAME = 4096, 4096, 260
_PE32, _PE32_PLUS = 0x10B, 0x20B
_IMPORTS, _DELAYED = 1, 13
"""Places in the table of data directories."""

Data = bytes | mmap.mmap


class PortableError(ValueError):
    """The file is no Windows library that can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """Names of libraries as the file spells them, each sorted without regard to case.

    The loader refuses a library one of whose ``needed`` is missing; ``delayed`` are loaded at their first use.
    """

    needed: tuple[str, ...]
    delayed: tuple[str, ...] = ()


def read_imports(path: Path) -> Imports:
    """Read a library of any size without loading it."""
    with path.open("rb") as file:
        try:
            view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError as error:  # an empty file cannot be mapped
            raise PortableError("the file is empty") from error
        with view:
            return imports_of(view)


def imports_of(data: Data) -> Imports:
    """The libraries that a PE image asks for."""
    image = _Image(data)
    needed = _names(image, image.directory(_IMPORTS), size=20, name_at=12)
    delayed = _names(image, image.directory(_DELAYED), size=32, name_at=4)
    return Imports(needed=_sorted(needed), delayed=_sorted(delayed))


def _sorted(names: Iterator[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names), key=lambda name: (name.lower(), name)))


def _names(image: _Image, table: int, *, size: int, name_at: int) -> Iterator[str]:
    """The names of a table's rows, which a row of zeros ends; none where ``table`` (a virtual address) is 0."""
    if not table:
        return
    for number in range(MOST_IMPORTS):
        row = image.read(table + number * size, size)
        (name,) = struct.unpack("<I", row[name_at : name_at + 4])
        if not name:
            return
        yield image.text(name)
    raise PortableError("its table of imports has no end")


class _Image:
    """The headers of a PE file, and reads by virtual address."""

    def __init__(self, data: Data) -> None:
        self._data = data
        if len(data) < 64 or data[0:2] != b"MZ":
            raise PortableError("not a PE file")
        (at,) = struct.unpack("<I", data[0x3C:0x40])
        if at + 24 > len(data) or data[at : at + 4] != b"PE\0\0":
            raise PortableError("not a PE file")
        number, optional = struct.unpack("<2xH12xH", data[at + 4 : at + 22])
        self._optional, self._table = at + 24, at + 24 + optional
        if optional < 2 or number > MOST_SECTIONS or self._table + 40 * number > len(data):
            raise PortableError("the section table lies outside of the file")
        self._sections = [
            struct.unpack("<IIII", data[row + 8 : row + 24])
            for row in range(self._table, self._table + 40 * number, 40)
        ]

    def directory(self, place: int) -> int:
        """The virtual address of a data directory; 0 where the file has none."""
        (magic,) = struct.unpack("<H", self._data[self._optional : self._optional + 2])
        if magic not in (_PE32, _PE32_PLUS):
            raise PortableError("neither a 32-bit nor a 64-bit PE file")
        first = self._optional + (112 if magic == _PE32_PLUS else 96)
        row = first + 8 * place
        if row + 8 > self._table:
            return 0
        (count,) = struct.unpack("<I", self._data[first - 4 : first])
        return int(struct.unpack("<I", self._data[row : row + 4])[0]) if place < count else 0

    def read(self, address: int, length: int) -> bytes:
        """Bytes at a virtual address."""
        at, end = self._place(address)
        if at + length > end:
            raise PortableError("a table reaches past the end of its section")
        return self._data[at : at + length]

    def text(self, address: int) -> str:
        """The name at a virtual address."""
        at, end = self._place(address)
        name, zero, _ = self._data[at : min(end, at + LONGEST_NAME)].partition(b"\0")
        if not zero:
            raise PortableError("a name has no end")
        return name.decode("ascii", "replace")

    def _place(self, address: int) -> tuple[int, int]:
        """Where a virtual address lies in the file, and where its section ends there."""
        for size, start, stored, at in self._sections:
            length = min(size, stored) if size else stored
            if start <= address < start + length:
                if at + length > len(self._data):
                    raise PortableError("a section reaches past the end of the file")
                return at + address - start, at + length
        raise PortableError("an address lies in none of its sections")
