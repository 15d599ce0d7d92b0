"""index.zipdir: the directory of an archive from pieces of it; hostile archives end in a fault."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from gpuenv.index.zipdir import (
    MOST_MEMBER,
    Member,
    ZipFault,
    find_directory,
    last_entries,
    needed_for_end,
    unpack,
    walk,
)
from support.wheels import as_zip64, build_wheel, pack

BODY = build_wheel("demo", "1.0", members=50).body


def directory_of(body: bytes) -> bytes:
    where = find_directory(body, len(body))
    return body[where.offset : where.offset + where.size]


@pytest.mark.parametrize("body", [BODY, as_zip64(BODY)], ids=["zip", "zip64"])
def test_the_same_entries_as_the_standard_library(body: bytes) -> None:
    expected = {entry.filename: entry for entry in zipfile.ZipFile(io.BytesIO(body)).infolist()}
    found = {member.name: member for member, _ in walk(directory_of(body))}
    assert found.keys() == expected.keys()
    for name, member in found.items():
        assert (member.offset, member.packed, member.crc) == (
            expected[name].header_offset,
            expected[name].compress_size,
            expected[name].CRC,
        )


def test_the_end_of_a_directory_alone_gives_its_last_entries() -> None:
    directory = directory_of(BODY)
    every = [member for member, _ in walk(directory)]
    for cut in (1, 50, len(directory) // 2, len(directory) - 100):
        found = last_entries(directory[cut:])
        assert found == every[len(every) - len(found) :]
        assert found
    assert last_entries(directory[-20:]) == []


def test_entries_stop_where_the_data_stops() -> None:
    directory = directory_of(BODY)
    whole = list(walk(directory))
    cut = list(walk(directory[: len(directory) // 2]))
    assert 0 < len(cut) < len(whole)
    assert cut == whole[: len(cut)]


def test_a_zip64_record_before_the_tail_is_asked_for() -> None:
    body = as_zip64(BODY)
    tail = body[-(22 + 20) :]
    place = needed_for_end(tail, len(body))
    assert place == len(body) - 22 - 20 - 56
    assert find_directory(tail, len(body), end64=body[place : place + 56]) == find_directory(body, len(body))
    assert needed_for_end(body, len(body)) is None


def test_a_comment_that_looks_like_an_end_record_does_not_mislead() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", b"a")
        archive.comment = b"PK\x05\x06" + b"\0" * 18 + b"tail"
    body = buffer.getvalue()
    assert find_directory(body, len(body)).entries == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no zip directory"),
        (b"<html>login</html>" * 10, "no zip directory"),
        (BODY[:-30], "no zip directory"),
        (BODY + b"\0", "no zip directory"),
        (b"MZ" + BODY, "belong to nothing"),
        (BODY + BODY, "belong to nothing"),
    ],
)
def test_what_is_no_archive(body: bytes, words: str) -> None:
    with pytest.raises(ZipFault, match=words):
        find_directory(body, len(body))


def test_an_implausible_directory_is_refused_before_it_is_read() -> None:
    end = bytearray(BODY[-22:])
    struct.pack_into("<2H", end, 8, 60000, 60000)
    with pytest.raises(ZipFault, match="not plausible"):
        find_directory(BODY[:-22] + bytes(end), len(BODY))


def test_a_member_is_unpacked_and_checked() -> None:
    text = b"x" * 5000
    body = pack([("a.txt", text)], compress=True)
    member = next(walk(directory_of(body)))[0]
    assert unpack(member, body) == text
    assert unpack(member, body[:40]) is None
    damaged = bytearray(body)
    damaged[40] ^= 0xFF
    with pytest.raises(ZipFault):
        unpack(member, bytes(damaged))


def test_a_changed_byte_of_a_stored_member_is_noticed() -> None:
    body = pack([("a.txt", b"harmless")])
    member = next(walk(directory_of(body)))[0]
    with pytest.raises(ZipFault, match="damaged"):
        unpack(member, body.replace(b"harmless", b"harmful!", 1))


def bomb(**changes: int) -> tuple[Member, bytes]:
    data = zlib.compress(b"\0" * (4 * 1024 * 1024))[2:-4]
    body = pack([("a.txt", b"")])
    entry = next(walk(directory_of(body)))[0]
    fields = {"packed": len(data), "unpacked": 10, "method": 8, "crc": 0, "flags": 0, "offset": 0} | changes
    header = bytearray(body[:35])
    struct.pack_into("<H", header, 8, fields["method"])
    return Member(name=entry.name, **fields), bytes(header) + data


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "damaged"),  # unpacks to 4 MB and says 10 bytes: no more than 11 are ever made
        ({"unpacked": MOST_MEMBER + 1}, "larger"),
        ({"flags": 1}, "encrypted"),
        ({"method": 99}, "method 99"),
    ],
)
def test_hostile_members(changes: dict[str, int], words: str) -> None:
    member, data = bomb(**changes)
    with pytest.raises(ZipFault, match=words):
        unpack(member, data)


def test_a_member_that_is_not_where_the_directory_says() -> None:
    member = next(walk(directory_of(BODY)))[0]
    with pytest.raises(ZipFault, match="not where"):
        unpack(member, BODY[100:])
