"""Pages on disk: each with a checksum over all of it, so that what was damaged is dropped and fetched again.

An entry outlives its freshness: it serves ``--offline`` and validators, since a lock must outlive a lost network.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

from gpuenv.errors import GpuenvError
from gpuenv.net.location import Location
from gpuenv.system.files import LARGEST, read_bytes, write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One kept answer. ``url`` is where it came from in the end, ``fetched`` seconds since the epoch."""

    url: str
    content_type: str
    etag: str
    modified: str
    fetched: float
    body: bytes

    def packed(self) -> bytes:
        """The entry as it is written: a checksum, a line of JSON, the body."""
        rest = json.dumps(asdict(replace(self, body=b"")) | {"body": len(self.body)}).encode() + b"\n" + self.body
        return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest

    @classmethod
    def unpacked(cls, data: bytes) -> Self | None:
        """Read an entry back; ``None`` where a bit of it is not what was written."""
        digest, _, rest = data.partition(b"\n")
        if hashlib.sha256(rest).hexdigest().encode() != digest:
            return None
        head, _, body = rest.partition(b"\n")
        try:
            entry = cls(**{**json.loads(head), "body": body})
        except (ValueError, TypeError, RecursionError):
            return None  # of another version of gpuenv
        texts = (entry.url, entry.content_type, entry.etag, entry.modified)
        right = all(isinstance(each, str) for each in texts) and isinstance(entry.fetched, int | float)
        return entry if right else None


class PageCache:
    """Entries by address, without its secrets. A disk that refuses costs the cache, never the answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, where: Location) -> CacheEntry | None:
        """What is kept; ``None`` where nothing is that can be trusted."""
        try:
            return CacheEntry.unpacked(read_bytes(self._path(where), what="a kept page", most=2 * LARGEST))
        except GpuenvError:
            return None

    def put(self, where: Location, entry: CacheEntry) -> None:
        """Keep an answer."""
        with suppress(GpuenvError):
            write_atomic(self._path(where), entry.packed(), what="a kept page", mode=0o600)

    def forget(self, where: Location) -> None:
        """Throw an answer away."""
        with suppress(OSError):
            self._path(where).unlink()

    def _path(self, where: Location) -> Path:
        digest = hashlib.sha256(where.url.encode()).hexdigest()
        return self._folder / digest[:2] / digest
