"""net.cache: what is not an entry of this version is none."""

from __future__ import annotations

import json

import pytest

from gpuenv.net.cache import CacheEntry, sha256

ENTRY = CacheEntry(
    url="https://h.example/",
    content_type="text/html",
    etag="",
    modified="",
    fetched=1e9,
    digest=sha256(b"x"),
    body=b"x",
)


def test_an_entry_is_read_back() -> None:
    assert CacheEntry.unpacked(ENTRY.packed()) == ENTRY


@pytest.mark.parametrize(
    "changes", [{"url": 1}, {"etag": None}, {"fetched": "x"}, {"more": 1}, {"digest": sha256(b"y")}, None]
)
def test_another_shape_under_a_right_checksum_is_none(changes: dict[str, object] | None) -> None:
    _, head, body = ENTRY.packed().split(b"\n")
    said = b"[" * 100_000 if changes is None else json.dumps(json.loads(head) | changes).encode()
    assert CacheEntry.unpacked(sha256(said).encode() + b"\n" + said + b"\n" + body) is None


def test_one_changed_bit_anywhere_makes_it_none() -> None:
    packed = ENTRY.packed()
    for place in range(len(packed)):
        assert CacheEntry.unpacked(packed[:place] + bytes([packed[place] ^ 1]) + packed[place + 1 :]) is None
