"""TOML locks of other tools: their tables with checked types, and the lines on which their packages stand."""

from __future__ import annotations

from collections.abc import Mapping

from gpuenv.documents import DocumentError, not_toml, parse_toml
from gpuenv.lock.reading import LockTable
from gpuenv.metadata import parse_version
from gpuenv.project.pins import PinnedFile
from gpuenv.project.requirements_file import FilePlace

_WHERE = ("url", "path", "file", "filename", "name")


def document(text: str, shown: str) -> LockTable:
    """Read a TOML document. Raises :class:`~gpuenv.errors.ConfigurationError` with the line of what is wrong."""
    try:
        return LockTable(shown, "", parse_toml(text))
    except DocumentError as error:
        raise not_toml(shown, text, error) from None


class Lines:
    """The line of each table of an array (``[[package]]``), in the order of the file."""

    def __init__(self, text: str, shown: str, header: str) -> None:
        self._shown = shown
        self._lines = [number for number, line in enumerate(text.split("\n"), 1) if line.rstrip() == f"[[{header}]]"]

    def of(self, row: int) -> FilePlace:
        """The place of a table, its number counted from 0."""
        return FilePlace(file=self._shown, line=self._lines[row] if row < len(self._lines) else 1)


def version_of(table: LockTable) -> str:
    """The version of a package; empty where it has none (the project itself, a folder).

    Raises :class:`~gpuenv.errors.ConfigurationError` for what is no version.
    """
    text = table.maybe_text("version") or ""
    if text and parse_version(text) is None:
        table.fail("version", f"is {text[:80]!r}, which is no version")
    return text


def files_of(table: LockTable, key: str, *, hashed: str = "hash") -> tuple[PinnedFile, ...]:
    """The files of a package: tables with ``url``, ``path``, ``file`` or ``filename``, and a hash."""
    found = []
    for each in table.tables(key):
        where = next(
            (text for name in ("url", "path", "file", "filename", "name") if (text := each.maybe_text(name))), ""
        )
        if not where:
            each.fail("url", "is missing, and so is a path or a file name")
        name = str(each.entries.get("name") or "")
        found.append(PinnedFile(url=where, sha256=_sha256(each, hashed), size=_size(each), name=name))
    return tuple(found)


def _sha256(table: LockTable, key: str) -> str:
    entry = table.entries.get(key)
    if isinstance(entry, Mapping):
        return str(entry.get("sha256", ""))
    kind, _, value = str(entry or "").partition(":")
    return value if kind == "sha256" else ""


def _size(table: LockTable) -> int | None:
    size = table.entries.get("size")
    return size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else None
