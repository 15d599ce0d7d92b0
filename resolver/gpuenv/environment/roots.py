"""The locks that a store keeps wheels for, registered in it, so that pruning for one project takes nothing of another.

A registration names a lock file by its absolute path and its content: the same path may hold another lock on another
branch. Layout: ``roots/<sha256 of both>.json`` in the store.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.environment.store import Store
from gpuenv.errors import GpuenvError
from gpuenv.lock import codec
from gpuenv.lock.model import Lock, is_sha256
from gpuenv.system.files import decoded, present, read_bytes, read_text, with_unix_ends, write_atomic

RootState = Literal["there", "changed", "gone", "unreadable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A registered lock. ``wheels`` are sha256 it named when it was registered; ``now`` what stands there now names."""

    file: Path
    """The registration."""
    lock: str
    """The path of the lock; empty where the registration cannot be read."""
    state: RootState
    wheels: frozenset[str]
    now: frozenset[str]

    @property
    def words(self) -> str:
        """What is to be said of it."""
        match self.state:
            case "unreadable":
                return f"{self.file}: a registration that cannot be read"
            case "gone":
                return f"{self.lock}: there is no such file now; {len(self.wheels)} wheels"
            case "changed":
                return (
                    f"{self.lock}: another lock stands there now, perhaps of another branch; {len(self.wheels)} wheels"
                )
            case _:
                return f"{self.lock}: {len(self.wheels)} wheels"

    def forget(self) -> None:
        """Remove the registration."""
        self.file.unlink(missing_ok=True)


def register(store: Store, path: Path, lock: Lock) -> None:
    """Register the lock that stands at ``path``. Raises :class:`~gpuenv.errors.FileError`."""
    place = os.path.realpath(path)
    digest = hashlib.sha256(with_unix_ends(read_bytes(path, what="the lock"))).hexdigest()
    file = store.folder / "roots" / f"{_digest(place, digest)}.json"
    wheels = sorted({each.sha256 for each in lock.packages})
    row = {"lock": place, "digest": digest, "wheels": wheels, "check": _digest(place, digest, *wheels)}
    text = json.dumps(row, indent=1) + "\n"
    if not file.is_file() or read_bytes(file, what="the registration of a lock") != text.encode():
        store.folder_for(file.parent)
        write_atomic(file, text, what="the registration of a lock", mode=store.mode)


def roots(store: Store) -> tuple[Root, ...]:
    """Look at every registered lock again, by path."""
    found = (_read(file) for file in sorted((store.folder / "roots").glob("*.json")))
    return tuple(sorted(found, key=lambda root: (root.lock, root.file.name)))


def _read(file: Path) -> Root:
    try:
        row = json.loads(read_text(file, what="the registration of a lock"))
        place, digest, wheels = row["lock"], row["digest"], row["wheels"]
        if row["check"] != _digest(place, digest, *wheels) or not all(is_sha256(each) for each in wheels):
            raise ValueError(file)
    except (GpuenvError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return Root(file=file, lock="", state="unreadable", wheels=frozenset(), now=frozenset())
    state, now = _seen_again(Path(place), digest)
    return Root(file=file, lock=place, state=state, wheels=frozenset(wheels), now=now)


def _seen_again(path: Path, digest: str) -> tuple[RootState, frozenset[str]]:
    if not present(path):
        return "gone", frozenset()
    try:
        body = with_unix_ends(read_bytes(path, what="the lock"))
        now = frozenset(each.sha256 for each in codec.parse(decoded(body), origin=str(path)).packages)
    except (GpuenvError, UnicodeDecodeError):
        return "changed", frozenset()
    return ("there" if hashlib.sha256(body).hexdigest() == digest else "changed"), now


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
