"""Pages on disk: each with a checksum over all of it, so that what was damaged is dropped and fetched again.

An entry outlives its freshness: it serves ``--offline`` and validators, since a lock must outlive a lost network.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Self

from gpuenv.dataclass import dataclass
from gpuenv.errors import GpuenvError
from gpuenv.net.location import Location
from gpuenv.system.files import LARGEST, read_bytes, write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One kept answer. ``url`` is where it came from in the end, ``fetched`` seconds since the epoch, ``digest`` the
    sha256 of ``body``."""

    url: str
    content_type: str
    etag: str
    modified: str
    fetched: float
    digest: str
    body: bytes

    def packed(self) -> bytes:
        """The entry as it is written: a line of JSON under its checksum, and the body, whose checksum it holds."""
        head = {name: getattr(self, name) for name in self.__slots__ if name != "body"}
        return _sealed(json.dumps(head).encode()) + b"\n" + self.body

    @classmethod
    def unpacked(cls, data: bytes) -> Self | None:
        """Read an entry back; ``None`` where a bit of it is not what was written."""
        checksum, _, rest = data.partition(b"\n")
        head, _, body = rest.partition(b"\n")
        if sha256(head).encode() != checksum:
            return None
        try:
            entry = cls(**{**json.loads(head), "body": body})
        except (ValueError, TypeError, RecursionError):
            return None  # of another version of gpuenv
        texts = (entry.url, entry.content_type, entry.etag, entry.modified)
        right = all(isinstance(each, str) for each in texts) and isinstance(entry.fetched, int | float)
        return entry if right and entry.digest == sha256(body) else None


class PageCache:
    """Entries by address, without its secrets. A disk that refuses costs the cache, never the answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, where: Location) -> CacheEntry | None:
        """What is kept; ``None`` where nothing is that can be trusted."""
        data = self._read(self._path(where))
        return None if data is None else CacheEntry.unpacked(data)

    def put(self, where: Location, entry: CacheEntry) -> None:
        """Keep an answer."""
        self._write(self._path(where), entry.packed())

    def get_form(self, where: Location, key: str) -> bytes | None:
        """What was last kept of an answer in another form; ``None`` where it is not whole, or of another ``key``."""
        checksum, _, rest = (self._read(self._form_path(where)) or b"").partition(b"\n")
        said, _, form = rest.partition(b"\n")
        return form if said == key.encode() and checksum == sha256(rest).encode() else None

    def put_form(self, where: Location, key: str, form: bytes) -> None:
        """Keep an answer in another form; ``key`` names all that it was made of and by."""
        self._write(self._form_path(where), _sealed(key.encode() + b"\n" + form))

    def forget(self, where: Location) -> None:
        """Throw an answer away."""
        for path in (self._path(where), self._form_path(where)):
            with suppress(OSError):
                path.unlink()

    def _read(self, path: Path) -> bytes | None:
        try:
            return read_bytes(path, what="a kept page", most=2 * LARGEST)
        except GpuenvError:
            return None

    def _write(self, path: Path, data: bytes) -> None:
        with suppress(GpuenvError):
            write_atomic(path, data, what="a kept page", mode=0o600)

    def _path(self, where: Location) -> Path:
        digest = sha256(where.url.encode())
        return self._folder / digest[:2] / digest

    def _form_path(self, where: Location) -> Path:
        return self._path(where).with_suffix(".form")


def sha256(data: bytes) -> str:
    """The checksum of what is kept, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _sealed(data: bytes) -> bytes:
    return sha256(data).encode() + b"\n" + data
