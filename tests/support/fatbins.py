"""Builds small ELF and PE libraries that hold device code, as CUDA's compiler lays it out."""

from __future__ import annotations

import struct
from collections.abc import Sequence

MAGIC = b"\x50\xed\x55\xba"


SUFFIXES = {"": 0x11, "a": 0x100011, "f": 0x200011}


def image(
    kind: str,
    architecture: int,
    *,
    size: int = 24,
    fill: bytes = b"\0",
    suffix: str = "",
    isa: tuple[int, int] = (0, 0),
) -> bytes:
    """One image (``sass``, ``ptx``, or ``lto`` for the linker): a 64-byte header, then ``size`` bytes of code."""
    header = bytearray(64)
    struct.pack_into("<HHIQ", header, 0, {"ptx": 1, "sass": 2, "lto": 8}[kind], 0x101, 64, size)
    struct.pack_into("<HHI", header, 24, isa[1], isa[0], architecture)
    struct.pack_into("<Q", header, 40, SUFFIXES[suffix])
    return bytes(header) + (fill * (size // len(fill) + 1))[:size]


def library(fatbins: Sequence[Sequence[bytes]], *, section: bytes = b".nv_fatbin") -> bytes:
    """An ELF file with one section of fat binaries and the section of names."""
    body = _body(fatbins)
    names = b"\0" + section + b"\0.shstrtab\0"
    start = 64
    names_at = start + len(body)
    table = names_at + len(names)
    header = bytearray(64)
    header[0:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", header, 0x28, table)
    struct.pack_into("<HHH", header, 0x3A, 64, 3, 2)
    empty = bytes(64)
    code = struct.pack("<IIQQQQIIQQ", 1, 1, 0, 0, start, len(body), 0, 0, 8, 0)
    strings = struct.pack("<IIQQQQIIQQ", 1 + len(section) + 1, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    return bytes(header) + body + names + empty + code + strings


def portable_library(fatbins: Sequence[Sequence[bytes]], *, section: bytes = b".nv_fatb") -> bytes:
    """A Windows library with one section of fat binaries: DOS header, PE header, section table, section."""
    body = _body(fatbins)
    start = 64 + 24 + 40
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0, 0, 0, 0, 0x2022)
    row = struct.pack("<8sIIIIIIHHI", section, len(body), 0x1000, len(body), start, 0, 0, 0, 0, 0)
    return dos + coff + row + body


def _body(fatbins: Sequence[Sequence[bytes]]) -> bytes:
    contents = (b"".join(images) for images in fatbins)
    return b"".join(MAGIC + struct.pack("<HHQ", 1, 16, len(content)) + content for content in contents)
