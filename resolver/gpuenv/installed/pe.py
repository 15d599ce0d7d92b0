"""Reads which DLLs a Windows library asks for, and by which names.

PE Format: import directory table, delay-load directory table. Every offset is checked: a damaged file ends in
:class:`~gpuenv.installed.fatbin.FatbinError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from gpuenv.dataclass import dataclass
from gpuenv.installed.fatbin import Data, FatbinError, Section, portable_sections

_PLUS = 0x20B
"""PE32+, the 64-bit format."""
_IMPORTS, _DELAYED = 1, 13
_LONGEST_NAME = 4096
_MOST = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Imports:
    """Names that a library takes from one DLL; ordinals, which have no names, are left out."""

    library: str
    symbols: tuple[str, ...]
    delayed: bool = False
    """It is loaded at its first use: the loader does not refuse a library without it."""


def read_pe(data: Data) -> tuple[Imports, ...]:
    """Read the imports of a 64-bit PE file, those of its delay-load table after the others."""
    sections = portable_sections(data)
    (at,) = struct.unpack("<I", data[0x3C:0x40])
    optional = at + 24
    if optional + 112 > len(data) or struct.unpack("<H", data[optional : optional + 2])[0] != _PLUS:
        raise FatbinError("not a 64-bit PE file")
    found: list[Imports] = []
    total = 0
    for number, row, name_at, thunks_at in ((_IMPORTS, 20, 12, 0), (_DELAYED, 32, 4, 16)):
        place = optional + 112 + 8 * number
        table = _number(data, place, 4) if place + 8 <= len(data) else 0
        while table:
            start = _place(sections, table)
            name, thunks = _number(data, start + name_at, 4), _number(data, start + thunks_at, 4)
            if not name:
                break
            # A linker may leave out the table of names: the addresses to be filled in hold the same until then.
            thunks = thunks or (_number(data, start + 16, 4) if number == _IMPORTS else 0)
            found.append(
                Imports(
                    library=_text(data, _place(sections, name)),
                    symbols=tuple(_names(data, sections, thunks)) if thunks else (),
                    delayed=number == _DELAYED,
                )
            )
            total += 1 + len(found[-1].symbols)
            if total > _MOST:
                raise FatbinError("it takes more names than is plausible")
            table += row
    return tuple(found)


def _names(data: Data, sections: Sequence[Section], thunks: int) -> Iterator[str]:
    start = _place(sections, thunks)
    for count in range(_MOST):
        value = _number(data, start + 8 * count, 8)
        if not value:
            return
        if not value >> 63:
            yield _text(data, _place(sections, value) + 2)
    raise FatbinError("it takes more names than is plausible")


def _place(sections: Sequence[Section], address: int) -> int:
    """Where in the file an address of the loaded image is."""
    for section in sections:
        if section.address <= address < section.address + section.size:
            return section.start + address - section.address
    raise FatbinError("an address lies in no section of the file")


def _number(data: Data, at: int, width: int) -> int:
    if at + width > len(data):
        raise FatbinError("a table reaches past the end of the file")
    return int.from_bytes(data[at : at + width], "little")


def _text(data: Data, at: int) -> str:
    end = data.find(b"\0", at, at + _LONGEST_NAME)
    if end < 0:
        raise FatbinError("a name has no end")
    return bytes(data[at:end]).decode("utf-8", "replace")
