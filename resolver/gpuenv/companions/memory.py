"""Remembers what was read of a remote wheel's libraries, so that the next run fetches nothing of it.

An entry is for a wheel at its address with all that its row says, as in :mod:`gpuenv.index.facts`: a hash alone is what
a page says, and nobody compares it with the members that are read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpuenv.documents import DocumentError, parse_json
from gpuenv.errors import GpuenvError
from gpuenv.index.facts import checksum, row_key
from gpuenv.model.library import LibraryFacts, NvidiaLibrary, PackageFacts
from gpuenv.model.wheel import Wheel
from gpuenv.system.files import read_text, write_atomic

_FORMAT = 1
"""To be raised where the readers see more, or otherwise, than before."""


class LibraryMemory:
    """A folder with a small file a wheel. What cannot be read counts as not there; a disk that refuses is no error."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, wheel: Wheel) -> PackageFacts | None:
        """What is known of a wheel's libraries; ``None`` where nothing is."""
        key = row_key(wheel)
        try:
            entry = parse_json(read_text(self._path(key), what="a fact of the cache"))
            if not isinstance(entry, dict) or (entry["format"], entry["key"]) != (_FORMAT, key):
                return None
            return _facts(entry["facts"]) if entry["check"] == checksum(key, entry["facts"]) else None
        except (GpuenvError, DocumentError, KeyError, TypeError):
            return None

    def put(self, wheel: Wheel, facts: PackageFacts) -> None:
        """Remember what was read."""
        key = row_key(wheel)
        told = json.loads(json.dumps(asdict(facts)))
        entry = {"format": _FORMAT, "key": key, "facts": told, "check": checksum(key, told)}
        try:
            write_atomic(self._path(key), json.dumps(entry, sort_keys=True), what="a fact of the cache")
        except GpuenvError:
            return

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / digest[:2] / f"{digest}.json"


def _facts(told: dict[str, Any]) -> PackageFacts:  # Any: values that asdict made, under a checksum
    """The values of an entry that this very code wrote: its checksum was right."""
    libraries = [LibraryFacts(**_frozen(row)) for row in told["libraries"]]
    return PackageFacts(**_frozen({**told, "libraries": libraries}))


def _frozen(row: dict[str, Any]) -> dict[str, Any]:  # Any: as above
    made = {}
    for name, value in row.items():
        if name == "nvidia" and isinstance(value, list):
            value = [NvidiaLibrary(*each) for each in value]
        made[name] = tuple(value) if isinstance(value, list) else value
    return made
