"""The files of an environment: every one with its size, and the rows of a RECORD."""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from gpuenv.dataclass import dataclass


class FolderEntry(NamedTuple):
    """One file or link. ``link`` is what a symbolic link points to, ``None`` for a file.

    A named tuple, as the rows below: an environment has 16,000 of each, and one is made in a third of the time.
    """

    size: int
    mtime: float
    link: str | None


class RecordRow(NamedTuple):
    """One row of a RECORD. ``sha256`` is urlsafe base64 without padding, ``None`` where the row has none."""

    path: str
    """Relative to the environment, with ``/``; it starts with ``../`` where the row leaves the environment."""
    sha256: str | None
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """An environment before anything was installed: its files, and the bytes of the small ones."""

    entries: Mapping[str, FolderEntry]
    bodies: Mapping[str, bytes]


def tree(root: Path, *, below: str = "") -> Iterator[tuple[str, os.stat_result, str | None]]:
    """All files and links below a folder of ``root``: path relative to it with ``/``, what the system says, the link.

    Links are not followed.
    """
    folders: list[tuple[str, str]] = [(str(root / below), f"{below}/" if below else "")]
    while folders:
        folder, prefix = folders.pop()
        with _listed(folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append((f"{folder}/{entry.name}", path + "/"))
                    continue
                link = os.readlink(f"{folder}/{entry.name}") if entry.is_symlink() else None  # noqa: PTH115 - slow
                yield path, entry.stat(follow_symlinks=False), link


def walk(root: Path) -> dict[str, FolderEntry]:
    """List all files and links of a folder by their path relative to it."""
    return {path: FolderEntry(facts.st_size, facts.st_mtime, link) for path, facts, link in tree(root)}


@contextmanager
def _listed(folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
    """The entries of a folder, through a handle of it where that can be: the whole path is not looked up for each."""
    if os.scandir not in os.supports_fd:
        with os.scandir(folder) as entries:
            yield entries
        return
    handle = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        with os.scandir(handle) as entries:
            yield entries
    finally:
        os.close(handle)


def read_bare(environment: Path) -> Bare:
    """Remember an environment that uv has just made."""
    entries = walk(environment)
    bodies = {path: (environment / path).read_bytes() for path, entry in entries.items() if entry.link is None}
    return Bare(entries=entries, bodies=bodies)


def followed(path: Path) -> FolderEntry | None:
    """The file at the end of any links, ``None`` where there is none: a folder in its place is none either."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return FolderEntry(facts.st_size, facts.st_mtime, None)


def parse_record(text: str, *, prefix: str) -> Iterator[RecordRow]:
    """Read a RECORD (PEP 376, PEP 427: ``path,hash,size``) whose paths are relative to ``prefix``.

    Raises ``ValueError`` for a row that is none.

    >>> list(parse_record("../bin/run,sha256=abc,3\\na/b.py,,\\n", prefix="lib/site"))
    [RecordRow(path='lib/bin/run', sha256='abc', size=3), RecordRow(path='lib/site/a/b.py', sha256=None, size=None)]
    """
    # The csv module takes three times as long as a split, and rows with quotes are rare. A row is made without its
    # class's own function, which takes as long as all the rest: there are 16,000.
    rows: Iterable[list[str]] = (
        csv.reader(text.splitlines()) if '"' in text else (r.split(",") for r in text.splitlines())
    )
    made = tuple.__new__
    for row in rows:
        if not row or row == [""]:
            continue
        if len(row) != 3:
            raise ValueError(f"not a row of a RECORD: {','.join(row)!r}")
        path, digest, size = row
        if "./" not in path and "//" not in path and "\\" not in path and path[:1] != "/" and path[-2:] != "..":
            path = f"{prefix}/{path}"
        else:
            path = posixpath.normpath(posixpath.join(prefix, path.replace("\\", "/")))
        sha256 = digest[7:] if digest[:7] == "sha256=" else None
        yield made(RecordRow, (path, sha256, int(size) if size else None))


def sha256_of(path: Path) -> str:
    """The sha256 of a file as RECORD writes it: urlsafe base64 without padding."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
