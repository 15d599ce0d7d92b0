"""net.cache: what is not an entry of this version is none."""

from __future__ import annotations

import hashlib
import json

import pytest

from gpuenv.net.cache import CacheEntry

ENTRY = CacheEntry(url="https://h.example/", content_type="text/html", etag="", modified="", fetched=1e9, body=b"x")


def test_an_entry_is_read_back() -> None:
    assert CacheEntry.unpacked(ENTRY.packed()) == ENTRY


@pytest.mark.parametrize("changes", [{"url": 1}, {"etag": None}, {"fetched": "x"}, {"more": 1}, None])
def test_another_shape_under_a_right_checksum_is_none(changes: dict[str, object] | None) -> None:
    _, head, body = ENTRY.packed().split(b"\n")
    said = b"[" * 100_000 if changes is None else json.dumps(json.loads(head) | changes).encode()
    rest = said + b"\n" + body
    assert CacheEntry.unpacked(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest) is None
