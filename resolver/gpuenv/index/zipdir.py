"""Reads the directory of a zip archive from pieces of it, without any input or output.

Numbers are those of APPNOTE.TXT 6.3.10: end of central directory §4.3.16, zip64 §4.3.14 and §4.3.15, central directory
header §4.3.12, local header §4.3.7. Everything in an archive from elsewhere is hostile until checked: sizes are bounded
before memory is taken, and an archive with anything before, after or between its parts is refused, as uv refuses it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from gpuenv.dataclass import dataclass

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_U16, _U32 = 0xFFFF, 0xFFFFFFFF
ENTRY_SIGNATURE = b"PK\x01\x02"
LOCAL_HEADER = _LOCAL.size
MOST_DIRECTORY = 64 * 1024 * 1024
MOST_MEMBER = 8 * 1024 * 1024


class ZipFault(Exception):
    """Why bytes are not (part of) a zip archive that may be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """Where the central directory lies: absolute offset, size in bytes, number of entries."""

    offset: int
    size: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry: where its local header is and what comes out of it."""

    name: str
    offset: int
    packed: int
    unpacked: int
    method: int
    crc: int
    flags: int


def needed_for_end(tail: bytes, size: int) -> int | None:
    """The offset of the zip64 end record, where it lies before ``tail`` and must be fetched; else ``None``."""
    place = _end_place(tail)
    located = _locator(tail, place)
    if located is None or located >= size - len(tail):
        return None
    return located


def find_directory(tail: bytes, size: int, *, end64: bytes | None = None) -> Directory:
    """Find the directory from the last bytes of an archive of ``size`` bytes.

    ``end64`` holds the zip64 end record where :func:`needed_for_end` asked for it. Raises :class:`ZipFault`.
    """
    place = _end_place(tail)
    _, disk, start_disk, here, entries, length, offset, _ = _END.unpack_from(tail, place)
    end = size - len(tail) + place
    located = _locator(tail, place)
    if located is not None:
        record = end64 if end64 is not None else tail[max(located - (size - len(tail)), 0) :]
        if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
            raise ZipFault("its zip64 end record is not where it should be")
        _, _, _, _, disk, start_disk, here, entries, length, offset = _END64.unpack_from(record)
        end = located
    elif _U16 in (here, entries) or _U32 in (length, offset):
        raise ZipFault("it says zip64 and has no zip64 end record")
    if disk or start_disk or here != entries:
        raise ZipFault("it is one of several disks")
    if offset + length != end:
        raise ZipFault("there are bytes that belong to nothing before or after its directory")
    if length > MOST_DIRECTORY or entries * _ENTRY.size > length:
        raise ZipFault(f"its directory of {entries} entries in {length} bytes is not plausible")
    return Directory(offset=offset, size=length, entries=entries)


def walk(data: bytes) -> Iterator[tuple[Member, int]]:
    """Yield the entries that stand complete at the beginning of ``data``, each with the offset behind it."""
    place = 0
    while (step := _entry(data, place)) is not None:
        member, place = step
        yield member, place


def last_entries(data: bytes) -> list[Member]:
    """The entries at the end of a directory whose beginning is missing.

    An entry can only be told from arbitrary bytes by the chain that begins with it: the first signature from which
    headers follow one another exactly to the end is taken.
    """
    start = data.find(ENTRY_SIGNATURE)
    while start != -1:
        found = list(walk(data[start:]))
        if found and start + found[-1][1] == len(data):
            return [member for member, _ in found]
        start = data.find(ENTRY_SIGNATURE, start + 1)
    return []


def unpack(member: Member, data: bytes) -> bytes | None:
    """The contents of a member; ``data`` begins at its local header. ``None`` where ``data`` is too short.

    Raises :class:`ZipFault` where local and central header disagree, or the contents do not match size and CRC.
    """
    if max(member.packed, member.unpacked) > MOST_MEMBER:
        raise ZipFault(f"{member.name} is larger than {MOST_MEMBER} bytes")
    if len(data) < LOCAL_HEADER:
        return None
    start = _begin(member, data)
    if len(data) < start + member.packed:
        return None
    body = data[start : start + member.packed]
    if member.method == 8:
        inflater = zlib.decompressobj(-15)
        try:
            body = inflater.decompress(body, member.unpacked + 1)
        except zlib.error as error:
            raise ZipFault(f"{member.name} does not unpack: {error}") from None
    if len(body) != member.unpacked or zlib.crc32(body) != member.crc:
        raise ZipFault(f"{member.name} is damaged: size or checksum is not what the directory says")
    return body


class Unpacking:
    """Takes a member's packed bytes piece by piece and gives its contents so; holds one piece at a time.

    The first piece has to begin at the local header, and to hold all of it. Raises :class:`ZipFault` where local and
    central header disagree, and at the end where the contents do not match size and CRC.
    """

    def __init__(self, member: Member, first: bytes) -> None:
        self._member = member
        self._packed = 0
        self._unpacked = 0
        self._crc = 0
        begin = _begin(member, first)
        if begin > len(first):
            raise ZipFault(f"{member.name} is cut off")
        self._rest = first[begin:]
        self._inflater = zlib.decompressobj(-15) if member.method == 8 else None

    def begin(self) -> Iterator[bytes]:
        """What the first piece holds of the contents."""
        yield from self.take(self._rest)
        self._rest = b""

    def take(self, piece: bytes) -> Iterator[bytes]:
        """The contents that a further piece gives. Bytes behind the member are left alone."""
        piece = piece[: max(self._member.packed - self._packed, 0)]
        self._packed += len(piece)
        if self._inflater is None:
            yield self._seen(piece)
            return
        try:
            while piece:
                yield self._seen(self._inflater.decompress(piece, _PIECE))
                piece = self._inflater.unconsumed_tail
        except zlib.error as error:
            raise ZipFault(f"{self._member.name} does not unpack: {error}") from None

    @property
    def whole(self) -> bool:
        """Whether all packed bytes have been taken."""
        return self._packed >= self._member.packed

    def end(self) -> None:
        """Compare what came out with what the directory says."""
        if (self._packed, self._unpacked, self._crc) != (self._member.packed, self._member.unpacked, self._member.crc):
            raise ZipFault(f"{self._member.name} is damaged: size or checksum is not what the directory says")

    def _seen(self, contents: bytes) -> bytes:
        self._unpacked += len(contents)
        if self._unpacked > self._member.unpacked:
            raise ZipFault(f"{self._member.name} is larger than the directory says")
        self._crc = zlib.crc32(contents, self._crc)
        return contents


_PIECE = 4 * 1024 * 1024


def _begin(member: Member, data: bytes) -> int:
    """Where a member's packed contents begin behind its local header, at which ``data`` begins."""
    if member.flags & 1:
        raise ZipFault(f"{member.name} is encrypted")
    if member.method not in (0, 8):
        raise ZipFault(f"{member.name} is packed by method {member.method}, which wheels do not use")
    if len(data) < LOCAL_HEADER:
        raise ZipFault(f"{member.name} is cut off")
    signature, _, _, method, _, _, _, _, _, name_size, extra_size = _LOCAL.unpack_from(data)
    name = data[LOCAL_HEADER : LOCAL_HEADER + name_size]
    if signature != b"PK\x03\x04" or name.decode("utf-8", "replace") != member.name or method != member.method:
        raise ZipFault(f"{member.name} is not where the directory says")
    start: int = LOCAL_HEADER + name_size + extra_size
    return start


def _end_place(tail: bytes) -> int:
    """Where the end record begins: its comment must reach exactly to the end."""
    place = tail.rfind(b"PK\x05\x06")
    while place != -1:
        if place + _END.size <= len(tail) and place + _END.size + _END.unpack_from(tail, place)[-1] == len(tail):
            return place
        place = tail.rfind(b"PK\x05\x06", 0, place)
    raise ZipFault("there is no zip directory at its end")


def _locator(tail: bytes, place: int) -> int | None:
    """The absolute offset of the zip64 end record, where there is a locator for it."""
    start = place - _LOCATOR.size
    if start < 0 or tail[start : start + 4] != b"PK\x06\x07":
        return None
    return int(_LOCATOR.unpack_from(tail, start)[2])


def _entry(data: bytes, place: int) -> tuple[Member, int] | None:
    if place + _ENTRY.size > len(data) or data[place : place + 4] != ENTRY_SIGNATURE:
        return None
    fields = _ENTRY.unpack_from(data, place)
    _, _, _, flags, method, _, _, crc, packed, unpacked, name_size, extra_size, comment_size, *_, offset = fields
    name_start = place + _ENTRY.size
    extra_start = name_start + name_size
    behind = extra_start + extra_size + comment_size
    if behind > len(data):
        return None
    if _U32 in (packed, unpacked, offset):
        wide = _wide(data[extra_start : extra_start + extra_size], packed, unpacked, offset)
        if wide is None:
            return None
        packed, unpacked, offset = wide
    name = data[name_start:extra_start].decode("utf-8", "replace")
    member = Member(name=name, offset=offset, packed=packed, unpacked=unpacked, method=method, crc=crc, flags=flags)
    return member, behind


def _wide(extra: bytes, packed: int, unpacked: int, offset: int) -> tuple[int, int, int] | None:
    """Sizes and offset of zip64 (extra field 1, §4.5.3): only those that are all ones in the header, in this order."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, place)
        if kind == 1:
            values = [
                struct.unpack_from("<Q", extra, at)[0]
                for at in range(place + 4, min(place + 4 + length, len(extra)) - 7, 8)
            ]
            result = []
            for value in (unpacked, packed, offset):
                if value == _U32:
                    if not values:
                        return None
                    value = values.pop(0)
                result.append(value)
            return result[1], result[0], result[2]
        place += 4 + length
    return None
