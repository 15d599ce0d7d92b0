"""Builds small shared libraries, ELF and PE, that need and define what a test says."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from support.fatbins import MAGIC

_PROGBITS, _STRTAB, _DYNAMIC, _DYNSYM, _VERNEED = 1, 3, 6, 11, 0x6FFFFFFE


def elf_library(
    *,
    needed: Sequence[str] = (),
    undefined: Sequence[str] = (),
    weak: Sequence[str] = (),
    defined: Sequence[str] = (),
    versions: Mapping[str, Sequence[str]] | None = None,
    soname: str = "",
    code: Sequence[bytes] = (),
    relocatable: Sequence[bytes] = (),
) -> bytes:
    """An ELF shared library: dynamic section, symbols, needs of versions, device code (images of support.fatbins)."""
    strings = bytearray(b"\0")

    def name(text: str) -> int:
        strings.extend(text.encode() + b"\0")
        return len(strings) - len(text.encode()) - 1

    dynamic = b"".join(struct.pack("<QQ", 1, name(text)) for text in needed)
    if soname:
        dynamic += struct.pack("<QQ", 14, name(soname))
    dynamic += struct.pack("<QQ", 0, 0)
    symbols = bytes(24)
    for texts, info, place in ((undefined, 0x12, 0), (weak, 0x22, 0), (defined, 0x12, 1)):
        symbols += b"".join(struct.pack("<IBBHQQ", name(text), info, 0, place, 0, 0) for text in texts)
    needs = b""
    files = list((versions or {}).items())
    for place, (file, wanted) in enumerate(files):
        following = 0 if place == len(files) - 1 else 16 * (1 + len(wanted))
        needs += struct.pack("<HHIII", 1, len(wanted), name(file), 16, following)
        for number, version in enumerate(wanted):
            step = 0 if number == len(wanted) - 1 else 16
            needs += struct.pack("<IHHII", 0, 0, 2, name(version), step)
    parts = [
        (b".dynstr", _STRTAB, bytes(strings), 0),
        (b".dynamic", _DYNAMIC, dynamic, 1),
        (b".dynsym", _DYNSYM, symbols, 1),
        (b".gnu.version_r", _VERNEED, needs, 1),
        (b".nv_fatbin", _PROGBITS, _fatbin(code), 0),
        (b"__nv_relfatbin", _PROGBITS, _fatbin(relocatable), 0),
    ]
    return _elf([part for part in parts if part[2]])


def pe_library(imports: Mapping[str, Sequence[str]], *, code: Sequence[bytes] = ()) -> bytes:
    """A Windows library (PE32+): names taken from DLLs, device code."""
    address, start = 0x1000, 0x200
    body = bytearray(20 * (len(imports) + 1))
    for place, (library, names) in enumerate(imports.items()):
        spots = []
        for name in names:
            spots.append(address + len(body))
            body += b"\0\0" + name.encode() + b"\0"
        body += bytes(-len(body) % 8)
        thunks = address + len(body)
        body += b"".join(struct.pack("<Q", spot) for spot in spots) + bytes(8)
        called = address + len(body)
        body += library.encode() + b"\0"
        struct.pack_into("<IIIII", body, 20 * place, thunks, 0, 0, called, thunks)
    fatbin = _fatbin(code)
    sections = [(b".rdata", address, bytes(body), start)]
    if fatbin:
        sections.append((b".nv_fatb", 0x100000, fatbin, start + len(body)))
    optional = struct.pack("<H", 0x20B) + bytes(106) + struct.pack("<I", 16)
    optional += struct.pack("<IIII", 0, 0, address, len(body)) + bytes(8 * 14)
    header = b"MZ" + bytes(58) + struct.pack("<I", 64)
    header += b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, len(optional), 0x2022) + optional
    for name, at, data, place in sections:
        header += struct.pack("<8sIIIIIIHHI", name, len(data), at, len(data), place, 0, 0, 0, 0, 0)
    return header.ljust(start, b"\0") + bytes(body) + fatbin


def _fatbin(images: Sequence[bytes]) -> bytes:
    body = b"".join(images)
    return MAGIC + struct.pack("<HHQ", 1, 16, len(body)) + body if images else b""


def _elf(parts: Sequence[tuple[bytes, int, bytes, int]]) -> bytes:
    """Sections behind the header in order, then their names, then the section table. Links count from 1."""
    names = b"\0" + b"\0".join(name for name, *_ in parts) + b"\0.shstrtab\0"
    rows, body = [bytes(64)], bytearray(64)
    for name, kind, data, link in (*parts, (b".shstrtab", _STRTAB, names, 0)):
        at = names.index(b"\0" + name + b"\0") + 1
        rows.append(struct.pack("<IIQQQQIIQQ", at, kind, 0, 0, len(body), len(data), link, 0, 1, 0))
        body += data
    struct.pack_into("<6s", body, 0, b"\x7fELF\x02\x01")
    struct.pack_into("<Q", body, 0x28, len(body))
    struct.pack_into("<HHH", body, 0x3A, 64, len(rows), len(rows) - 1)
    return bytes(body) + b"".join(rows)
