"""Reads ``poetry.lock``, ``pdm.lock`` and ``pylock.toml`` (PEP 751): packages that carry their own conditions."""

from __future__ import annotations

from collections.abc import Mapping

from packaging.utils import canonicalize_name

from gpuenv.lock.reading import LockTable
from gpuenv.project.pins import FlatProject, Kind, MarkedPin, Pin, PinnedFile, Relevant, most_usual
from gpuenv.project.tables import Lines, document, files_of, version_of

_POETRY_MAIN, _PDM_MAIN = "main", "default"


def read_poetry_lock(text: str, *, shown: str, relevant: Relevant) -> FlatProject:
    """Read a ``poetry.lock``, of Poetry 1 too. Raises :class:`~gpuenv.errors.ConfigurationError` with the place."""
    top = document(text, shown)
    tables = top.tables("package")
    lines = Lines(text, shown, "package")
    optional = _names_by_key(top, "extras")
    pins: list[MarkedPin] = []
    for row, table in enumerate(tables):
        name = canonicalize_name(table.text("name"))
        groups = frozenset(table.texts("groups") or (table.maybe_text("category") or _POETRY_MAIN,))
        if not relevant(name):
            continue
        source = table.table("source") if "source" in table.entries else None
        from_index = source is None or source.maybe_text("type") == "legacy"
        pin = Pin(
            name=name,
            version=version_of(table),
            place=lines.of(row),
            index=(source.maybe_text("url") or "") if source is not None and from_index else "",
            wheels=() if not from_index else _wheels(table, "files"),
            source=not from_index and not _is_wheel(source),
        )
        stated = table.entries.get("markers")
        by_group = stated if isinstance(stated, Mapping) else dict.fromkeys(groups, str(stated or ""))
        extras = {key for key, names in optional.items() if name in names}
        # Of an optional package Poetry writes `extra == "x"` since its format 2.1; before, only the extra names it.
        if extras and table.entries.get("optional") and not any(by_group.values()):
            pins.append(MarkedPin(pin=pin, groups=frozenset(extras)))
            continue
        pins += (MarkedPin(pin=pin, marker=str(by_group.get(group, "")), groups=frozenset({group})) for group in groups)
    python = top.table("metadata").maybe_text("python-versions") if "metadata" in top.entries else ""
    named = sorted({each for table in tables for each in table.texts("groups")})
    return FlatProject(
        kind="poetry",
        shown=shown,
        count=len(tables),
        pins=tuple(pins),
        requires_python=python or "",
        default=frozenset({_POETRY_MAIN, "dev"}),
        extras=tuple(sorted(optional)),
        usual_index=most_usual(_source_url(table) for table in tables),
        groups=tuple(named),
    )


def read_pdm_lock(text: str, *, shown: str, relevant: Relevant) -> FlatProject:
    """Read a ``pdm.lock``. Raises :class:`~gpuenv.errors.ConfigurationError` with the place."""
    top = document(text, shown)
    tables = top.tables("package")
    lines = Lines(text, shown, "package")
    metadata = top.table("metadata")
    groups = metadata.texts("groups") or (_PDM_MAIN,)
    pins = []
    for row, table in enumerate(tables):
        name = canonicalize_name(table.text("name"))
        if relevant(name):
            files = _wheels(table, "files")
            url = table.maybe_text("url") or ""
            pin = Pin(
                name=name, version=version_of(table), place=lines.of(row), wheels=files, source=not files and bool(url)
            )
            marker = table.maybe_text("marker") or ""
            # A package without groups is of an old lock, which had only one.
            pins.append(MarkedPin(pin=pin, marker=marker, groups=frozenset(table.texts("groups") or (_PDM_MAIN,))))
    ranges = [each.maybe_text("requires_python") or "" for each in metadata.tables("targets")]
    return FlatProject(
        kind="pdm",
        shown=shown,
        count=len(tables),
        pins=tuple(pins),
        requires_python=ranges[0] if len(ranges) == 1 else "",
        default=frozenset({_PDM_MAIN, "dev"}),
        groups=tuple(groups),
    )


def read_pylock(text: str, *, shown: str, relevant: Relevant) -> FlatProject:
    """Read a ``pylock.toml`` of whatever tool. Raises :class:`~gpuenv.errors.ConfigurationError` with the place."""
    top = document(text, shown)
    version = top.text("lock-version")
    if version.partition(".")[0] != "1":
        top.fail("lock-version", f"is {version!r}; this gpuenv reads version 1")
    tables = top.tables("packages")
    lines = Lines(text, shown, "packages")
    pins = []
    for row, table in enumerate(tables):
        name = canonicalize_name(table.text("name"))
        if relevant(name):
            wheels = files_of(table, "wheels", hashed="hashes")
            archive = table.table("archive") if "archive" in table.entries else None
            if archive is not None and _is_wheel(archive):
                wheels = files_of(LockTable(shown, archive.path, {"all": [archive.entries]}), "all", hashed="hashes")
            pin = Pin(
                name=name,
                version=version_of(table),
                place=lines.of(row),
                index=table.maybe_text("index") or "",
                wheels=wheels,
                source=not wheels,
            )
            pins.append(MarkedPin(pin=pin, marker=table.maybe_text("marker") or ""))
    kind: Kind = "gpuenv" if top.maybe_text("created-by") == "gpuenv" else "pylock"
    return FlatProject(
        kind=kind,
        shown=shown,
        count=len(tables),
        pins=tuple(pins),
        requires_python=top.maybe_text("requires-python") or "",
        default=frozenset(top.texts("default-groups")),
        extras=tuple(sorted(top.texts("extras"))),
        environments=top.texts("environments"),
        usual_index=most_usual(str(table.entries.get("index", "")) for table in tables),
        groups=tuple(sorted(top.texts("dependency-groups"))),
    )


def _source_url(table: LockTable) -> str:
    source = table.entries.get("source")
    return str(source.get("url", "")) if isinstance(source, Mapping) else ""


def _names_by_key(top: LockTable, key: str) -> dict[str, frozenset[str]]:
    if key not in top.entries:
        return {}
    table = top.table(key)
    return {
        name: frozenset(canonicalize_name(text.partition(" ")[0].partition("[")[0]) for text in table.texts(name))
        for name in table.entries
    }


def _wheels(table: LockTable, key: str) -> tuple[PinnedFile, ...]:
    return tuple(each for each in files_of(table, key) if each.filename.endswith(".whl"))


def _is_wheel(table: LockTable | None) -> bool:
    entries = table.entries if table is not None else {}
    return any(str(entries.get(key, "")).partition("#")[0].endswith(".whl") for key in ("url", "path"))
