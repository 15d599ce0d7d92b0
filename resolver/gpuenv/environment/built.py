"""Which wheel of the store was built from which source, for which torch and cards: so that it is built once.

Layout: ``built/<sha256 of the key>.json`` in the store; the wheel itself lies there by its content, as any other. A
record whose wheel was pruned says nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.store import Store
from gpuenv.errors import GpuenvError
from gpuenv.lock.model import is_sha256
from gpuenv.system.files import present, read_text, write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildKey:
    """All that a built wheel depends on, as far as it can be named."""

    source: str
    """sha256 of the archive."""
    torch: str
    """The file name of its wheel: version, build, Python and platform."""
    torch_sha256: str
    cuda: str
    """Of torch; empty for the CPU."""
    python: str
    platform: str
    libc: str
    capabilities: tuple[str, ...]
    switches: tuple[tuple[str, str], ...]
    """The variables that decide what is built."""

    @property
    def digest(self) -> str:
        """What names its record."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltWheel:
    """A wheel that was built, where the store keeps it."""

    path: Path
    sha256: str


def find_built(store: Store, key: BuildKey) -> BuiltWheel | None:
    """The wheel that was built for this key and is still kept; a damaged record is none."""
    record = _record(store, key)
    if not present(record):
        return None
    try:
        told = json.loads(read_text(record, what="the record of a built wheel"))
        filename, sha256 = told["filename"], told["sha256"]
    except (GpuenvError, ValueError, KeyError, TypeError):
        return None
    if not (isinstance(filename, str) and isinstance(sha256, str) and is_sha256(sha256)):
        return None
    path = store.get(sha256, filename) if filename.endswith(".whl") and "/" not in filename else None
    return BuiltWheel(path=path, sha256=sha256) if path is not None else None


def keep_built(store: Store, key: BuildKey, wheel: Path, sha256: str) -> BuiltWheel:
    """Bring a finished wheel into the store, then say what it was built from: a kill between leaves one wheel more."""
    path = store.add(wheel, filename=wheel.name, sha256=sha256)
    told = {"filename": wheel.name, "sha256": sha256, **asdict(key)}
    write_atomic(_record(store, key), json.dumps(told, indent=1) + "\n", what="the record of a built wheel")
    return BuiltWheel(path=path, sha256=sha256)


def _record(store: Store, key: BuildKey) -> Path:
    return store.folder / "built" / f"{key.digest}.json"
