"""Remembers uv's version and which interpreters it listed, for as long as nothing that it looks at has changed.

uv starts each Python that it does not know, and one that it can make nothing of each time. A list holds for a day at
most, while these are as they were: uv itself, the folders that are searched, and every interpreter in the list, by the
file that its name leads to. On Windows, where uv reads the registry too, nothing is remembered.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from gpuenv.documents import DocumentError, parse_json
from gpuenv.environment.interpreters import Interpreter, search_path
from gpuenv.errors import GpuenvError
from gpuenv.metadata import parse_version
from gpuenv.net.cache import sha256
from gpuenv.system.files import read_text, write_atomic

_DAY = 86_400.0
Seen = list[object]


class KnownVersions:
    """The version that a program told, in one file, by the program's path, time and size; for a day at most."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, program: Path) -> str | None:
        """What it told; ``None`` where it has to be asked."""
        match _remembered(self._path):
            case {"program": list(seen), "version": str(version)} if seen == _seen([program])[0]:
                return version if parse_version(version) is not None else None
        return None

    def put(self, program: Path, version: str) -> None:
        """Remember it, of a program that is there."""
        if None in _stamp(program):
            return
        _remember(self._path, {"program": _seen([program])[0], "version": version})


class KnownInterpreters:
    """The memory, one file. Whatever does not fit counts as nothing known; a disk that refuses is no error."""

    def __init__(self, path: Path, *, uv: Path | None, environ: Mapping[str, str]) -> None:
        """``uv`` is the program that would be asked, ``environ`` what it would see."""
        self._path = path
        self._looked_at = [uv, *_folders(environ)] if uv is not None and sys.platform != "win32" else []

    def get(self) -> tuple[Interpreter, ...] | None:
        """What was listed; ``None`` where uv has to be asked."""
        try:
            match _remembered(self._path):
                case {"looked_at": list(seen), "found": list(rows)}:
                    found = [Interpreter(version=row[0], path=Path(row[1]), origin="installed") for row in rows]
                case _:
                    return None
        except (TypeError, LookupError):
            return None
        same = bool(self._looked_at) and seen == _seen(self._looked_at) and rows == _rows(found)
        return tuple(found) if same else None

    def put(self, found: Iterable[Interpreter]) -> None:
        """Remember a list; not one with an interpreter that is not there."""
        rows = _rows(each for each in found if each.origin == "installed")
        if not self._looked_at or not rows or any(None in row for row in rows):
            return
        _remember(self._path, {"looked_at": _seen(self._looked_at), "found": rows})


def _remembered(path: Path) -> object:
    """What a file of the cache holds; ``None`` where there is none, or none of today that has its checksum."""
    try:
        check, _, text = read_text(path, what="a list of the cache").partition("\n")
        match parse_json(text):
            case {"made": float(made)} as known if 0 <= time.time() - made < _DAY:
                return known if check == sha256(text.encode()) else None
    except (GpuenvError, DocumentError):
        pass
    return None


def _remember(path: Path, known: Mapping[str, object]) -> None:
    text = json.dumps({"made": time.time(), **known})
    with suppress(GpuenvError):
        write_atomic(path, f"{sha256(text.encode())}\n{text}", what="a list of the cache")


def _folders(environ: Mapping[str, str]) -> Sequence[Path]:
    """Where uv looks: PATH without shims, and the folder of its own interpreters."""
    own = environ.get("UV_PYTHON_INSTALL_DIR")
    data = environ.get("XDG_DATA_HOME") or f"{environ.get('HOME', '')}/.local/share"
    on_path = (Path(folder) for folder in search_path(environ.get("PATH", "")).split(os.pathsep) if folder)
    return [*on_path, Path(own) if own else Path(data) / "uv/python"]


def _rows(found: Iterable[Interpreter]) -> list[Seen]:
    """Version and path of each interpreter, the file behind it, and that file's time and size."""
    places = [(each.version, each.path, Path(os.path.realpath(each.path))) for each in found if each.path is not None]
    return [[version, str(path), str(real), *_stamp(real)] for version, path, real in places]


def _seen(places: Iterable[Path]) -> list[Seen]:
    return [[str(place), *_stamp(place)] for place in places]


def _stamp(path: Path) -> tuple[int | None, int | None]:
    """When something was last changed, in nanoseconds, and its size; of a folder that is when a name in it was."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None, None
    return facts.st_mtime_ns, facts.st_size
