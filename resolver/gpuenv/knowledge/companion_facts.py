"""The facts of companions' wheels that were read beforehand, by the wheel's hash or name."""

from __future__ import annotations

from functools import cache

from gpuenv.knowledge import files
from gpuenv.knowledge.libraries import completed
from gpuenv.knowledge.tables import codes
from gpuenv.model.library import LibraryFacts, PackageFacts


def facts_by_hash(sha256: str) -> PackageFacts | None:
    """The facts of the wheel of this sha256; ``None`` where none with it was read."""
    return _by("sha256").get(sha256)


def facts_by_name(filename: str) -> PackageFacts | None:
    """The facts of PyPI's wheel of this name. A wheel of that name from elsewhere may be another build: ask by hash."""
    return _by("filename").get(filename)


def all_facts() -> tuple[PackageFacts, ...]:
    """All wheels of the table, sorted by project and version as the table has them."""
    table = files.read("companion_facts")
    symbols = table["torch"]["symbols"].split()
    return tuple(_package(row, symbols) for row in table["wheels"])


@cache
def _by(field: str) -> dict[str, PackageFacts]:
    return {key: each for each in all_facts() if (key := getattr(each, field))}


def _package(row: files.Table, symbols: list[str]) -> PackageFacts:
    return PackageFacts(
        project=row["project"],
        version=row["version"],
        filename=row["filename"],
        sha256=row["sha256"],
        libraries=tuple(_library(line, symbols) for line in row["libraries"].splitlines()),
        date=row["date"],
        source="table",
    )


def _library(line: str, symbols: list[str]) -> LibraryFacts:
    """Read a line: the path, then ``key=value`` for what there is, separated by tabs."""
    path, *parts = line.split("\t")
    told = dict(part.split("=", 1) for part in parts)
    return completed(
        LibraryFacts(
            path=path,
            size=int(told["size"]),
            format="pe" if path.lower().endswith((".pyd", ".dll")) else "elf",
            sass=codes("sm", told.get("sass", "")),
            ptx=codes("compute", told.get("ptx", "")),
            ptx_cuda=told.get("ptx_cuda", ""),
            relocatable=codes("sm", told.get("relocatable", "")),
            needed=tuple(told.get("needed", "").split()),
            torch_symbols=tuple(symbols[int(number)] for number in told.get("symbols", "").split()),
            python=told.get("python", ""),
            glibc=told.get("glibc", ""),
            glibcxx=told.get("glibcxx", ""),
        )
    )
