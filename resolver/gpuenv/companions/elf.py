"""Reads what an ELF library asks of others and offers them: names it needs, symbols, versions of symbols.

System V ABI (dynamic section, symbol table), Linux Standard Base (symbol versioning). Every offset is checked: a
damaged file ends in :class:`~gpuenv.installed.fatbin.FatbinError`. Why no library does it:
``docs/companion-libraries.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from gpuenv.dataclass import dataclass
from gpuenv.installed.fatbin import Data, FatbinError, Section, elf_sections

_DYNAMIC, _DYNSYM, _VERNEED = 6, 11, 0x6FFFFFFE
_NEEDED, _SONAME = 1, 14
_GLOBAL, _WEAK, _UNIQUE = 1, 2, 10
_SYMBOL = struct.Struct("<IBBHQQ")
_MOST_NEEDED = 4096
_MOST_VERSIONS = 65536
_MOST_TABLE = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Linkage:
    """What a library asks a loader for, and what it offers. ``needed`` is in the file's order."""

    needed: tuple[str, ...]
    name: str = ""
    """The name that others ask for it by (DT_SONAME)."""
    undefined: frozenset[str] = frozenset()
    """Symbols that another library has to define; weak ones are no necessity and not among them."""
    defined: frozenset[str] = frozenset()
    versions: tuple[str, ...] = ()
    """Versions of symbols that it needs of others (``"GLIBC_2.34"``), sorted."""


def read_elf(data: Data) -> Linkage:
    """Read the dynamic part of an ELF file. One without any, a static object, has none of it."""
    sections = elf_sections(data)
    needed, name = [], ""
    for section, names in _of_kind(data, sections, _DYNAMIC):
        for tag, value in _dynamic(data, section):
            if tag == _NEEDED:
                needed.append(_text(names, value))
            elif tag == _SONAME:
                name = _text(names, value)
            if len(needed) > _MOST_NEEDED:
                raise FatbinError("it asks for more libraries than is plausible")
    undefined: set[str] = set()
    defined: set[str] = set()
    for section, names in _of_kind(data, sections, _DYNSYM):
        body = _body(data, section)
        for at, info, _, place, _, _ in _SYMBOL.iter_unpack(body[: len(body) // _SYMBOL.size * _SYMBOL.size]):
            binding = info >> 4
            if place and binding in (_GLOBAL, _WEAK, _UNIQUE):
                defined.add(_text(names, at))
            elif not place and binding == _GLOBAL:
                undefined.add(_text(names, at))
    versions = {
        version for section, names in _of_kind(data, sections, _VERNEED) for version in _needs(data, section, names)
    }
    return Linkage(
        needed=tuple(needed),
        name=name,
        undefined=frozenset(undefined),
        defined=frozenset(defined),
        versions=tuple(sorted(versions)),
    )


def _of_kind(data: Data, sections: Sequence[Section], kind: int) -> Iterator[tuple[Section, bytes]]:
    """The sections of a kind, each with the table of its names."""
    for section in sections:
        if section.kind != kind:
            continue
        if section.link >= len(sections):
            raise FatbinError("a section names a table that is not there")
        yield section, _body(data, sections[section.link])


def _body(data: Data, section: Section) -> bytes:
    if section.size > _MOST_TABLE:
        raise FatbinError("a table of names or symbols is larger than is plausible")
    return bytes(data[section.start : section.start + section.size])


def _dynamic(data: Data, section: Section) -> Iterator[tuple[int, int]]:
    body = _body(data, section)
    for tag, value in struct.iter_unpack("<QQ", body[: len(body) // 16 * 16]):
        if tag == 0:
            return
        yield tag, value


def _needs(data: Data, section: Section, names: bytes) -> Iterator[str]:
    """Walk the records of version needs: each file's record leads to the next, and to its versions, by offsets."""
    body = _body(data, section)
    at = total = 0
    while at + 16 <= len(body):
        _, number, _, first, following = struct.unpack_from("<HHIII", body, at)
        total += number
        if total > _MOST_VERSIONS:
            raise FatbinError("it needs more versions than is plausible")
        place = at + first
        for _ in range(number):
            if place + 16 > len(body):
                raise FatbinError("its needs of versions reach past their section")
            _, _, _, name, step = struct.unpack_from("<IHHII", body, place)
            yield _text(names, name)
            if step == 0:
                break
            place += step
        if following == 0:
            return
        at += following


def _text(names: bytes, at: int) -> str:
    end = names.find(b"\0", at)
    if end < 0:
        raise FatbinError("a name lies outside of its table")
    return names[at:end].decode("utf-8", "replace")
