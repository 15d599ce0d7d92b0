"""Remembers what was learned of wheels, in a folder of small JSON files, by the address that was read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from gpuenv.documents import DocumentError, parse_json
from gpuenv.errors import GpuenvError
from gpuenv.knowledge.rules import is_dotted
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.system.files import read_text, write_atomic

_FORMAT = 3
_LISTS = frozenset({"sass", "ptx", "requires_dist"})
_TYPES = {name: str(hint) for name, hint in get_type_hints(WheelContents).items()}
_ORIGINS = frozenset(get_args(get_type_hints(WheelContents)["origin"]))


class WheelFacts:
    """The memory. Contents of one wheel learned at different times add up; a broken entry counts as none.

    A hash is what a page says of a wheel, and nobody compares it with the few kilobytes that are read: remembered by it
    alone, one page that lies would speak for the wheels of all others. So a wheel is remembered by its address, and by
    everything its row says, so that a file replaced under its name is read again where the index shows it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, wheel: Wheel) -> WheelContents | None:
        """What is known of a wheel; ``None`` where nothing is."""
        key = row_key(wheel)
        try:
            entry = parse_json(read_text(self._path(key), what="a fact of the cache"))
        except (GpuenvError, DocumentError):
            return None
        if not isinstance(entry, dict) or entry.get("format") != _FORMAT or entry.get("key") != key:
            return None
        if entry.get("check") != checksum(key, entry.get("contents")):
            return None
        return _contents(entry.get("contents"))

    def put(self, wheel: Wheel, contents: WheelContents) -> WheelContents:
        """Remember contents beside what is known, and return both together. A disk that refuses is no error."""
        known = self.get(wheel)
        whole = combine(known, contents) if known is not None else contents
        key = row_key(wheel)
        entry = {"format": _FORMAT, "key": key, "wheel": wheel.filename, "contents": asdict(whole)}
        entry["check"] = checksum(key, entry["contents"])
        path = self._path(key)
        try:
            write_atomic(path, json.dumps(entry, indent=1, sort_keys=True), what="a fact of the cache")
        except GpuenvError:
            return whole
        return whole

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / digest[:2] / f"{digest}.json"


def combine(known: WheelContents, news: WheelContents) -> WheelContents:
    """Put two readings of one wheel together; where both looked, the newer counts.

    Origin and detail are those of the reading that told the code for GPUs: a lock records them, and must not depend on
    what else was read of the wheel, or when.
    """
    changed = {
        field.name: getattr(news, field.name)
        for field in fields(news)
        if field.name not in ("origin", "detail") and getattr(news, field.name) is not None
    }
    told = known if known.sass is not None and news.sass is None else news
    return replace(known, **changed, origin=told.origin, detail=told.detail)


def checksum(key: str, contents: object) -> str:
    """What a bit that flipped on the disk does not leave as it was."""
    return hashlib.sha256(f"{key} {json.dumps(contents, sort_keys=True)}".encode()).hexdigest()


def row_key(wheel: Wheel) -> str:
    """What names a wheel: its address, and all that its row says."""
    said = f"sha256:{wheel.sha256} size:{wheel.size} metadata:{wheel.metadata_sha256} uploaded:{wheel.upload_time}"
    return f"url:{wheel.url} {said}"


def _contents(value: Any) -> WheelContents | None:  # Any: parsed JSON
    """Read an entry with every type checked: the folder may hold anything."""
    if not isinstance(value, dict) or set(value) != set(_TYPES) or value["origin"] not in tuple(_ORIGINS):
        return None
    read: dict[str, Any] = {}  # Any: checked one by one below
    for name, each in value.items():
        if each is None and name not in ("origin", "detail"):
            read[name] = None
        elif name in _LISTS and isinstance(each, list) and all(isinstance(item, str) for item in each):
            read[name] = tuple(each)
        elif name not in _LISTS and isinstance(each, str):
            read[name] = each
        else:
            return None
    cuda = read["cuda"]
    return WheelContents(**read) if not cuda or is_dotted(cuda) else None
