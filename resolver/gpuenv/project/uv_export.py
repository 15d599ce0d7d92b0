"""A lock written into a ``pyproject.toml``, so that uv keeps torch's family: text to text.

One class of machines: ``constraint-dependencies`` with exact versions, and an explicit index as the source of each.
They hold for whatever needs torch, transitively too, through ``uv lock``, ``sync``, ``run``, ``add`` and
``lock --upgrade``, and touch no requirement of the person's. Several classes: a dependency group each, in conflict
with each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, not_toml, parse_toml
from gpuenv.errors import ConfigurationError
from gpuenv.lock.text import Value, key, value
from gpuenv.metadata import parse_requirement
from gpuenv.project.block import GROUPS, SOURCES, UV, region, without_regions
from gpuenv.project.statements import Statement, statements

Document = dict[str, Any]  # Any: a parsed TOML file


@dataclass(frozen=True, slots=True, kw_only=True)
class UvIndex:
    """Where uv finds the family: ``flat`` for a folder or page of wheels."""

    name: str
    url: str
    flat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UvClass:
    """A class of machines: the family's exact versions, and their index; ``None``: uv's own default index has them."""

    name: str
    """The dependency group where there are several."""
    pins: tuple[tuple[str, str], ...]
    index: UvIndex | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edit:
    """New lines before line ``start`` in the place of those up to ``end``."""

    start: int
    end: int
    lines: tuple[str, ...]


def with_family(text: str, classes: Sequence[UvClass], *, shown: str) -> str:
    """The text with the family of these classes; what an earlier run wrote is taken out first. Everything else stays.

    Raises :class:`~gpuenv.errors.ConfigurationError` for a file that is not written so that it can be done.
    """
    before = without_regions(text)
    document = _parse(before, shown)
    _refuse(document, classes, shown)
    writer = _Writer(before, classes, document)
    after = writer.written()
    wanted = _wanted(_parse(before, shown), classes)
    try:
        done = parse_toml(after) == wanted
    except DocumentError:
        done = False
    if not done:
        raise ConfigurationError(
            f"{shown}: uv's settings stand there in a form that cannot be added to",
            causes=("only [tool.uv], [tool.uv.sources] and [dependency-groups] as tables of their own can be",),
            hints=("Write them as tables, one key on each line, and run the same command again",),
        )
    return after


def without_family(text: str) -> str:
    """The text as it was before :func:`with_family`, byte for byte."""
    return without_regions(text)


def _parse(text: str, shown: str) -> Document:
    try:
        return dict(parse_toml(text))
    except DocumentError as error:
        raise not_toml(shown, text, error) from None


def _refuse(document: Document, classes: Sequence[UvClass], shown: str) -> None:
    """Stop where something in the file would win over what is written, or have the name of it."""
    uv = _at(document, UV)
    names = {name for each in classes for name, _ in each.pins}
    for text in uv.get("override-dependencies", ()):
        requirement = parse_requirement(str(text))
        if requirement is not None and canonicalize_name(requirement.name) in names:
            raise ConfigurationError(
                f"{shown}: override-dependencies says {text}, which wins over whatever is locked",
                hints=("Take it out, and run the same command again",),
            )
    for row in uv.get("index", ()):
        name = row.get("name") if isinstance(row, dict) else None
        if name in {each.index.name for each in classes if each.index is not None}:
            raise ConfigurationError(f"{shown}: there is an index named {name} already", hints=("Rename it",))
    if len(classes) > 1:
        for each in classes:
            if any(canonicalize_name(group) == each.name for group in _at(document, GROUPS)):
                raise ConfigurationError(
                    f"{shown}: there is a dependency group named {each.name} already", hints=("Rename it",)
                )


class _Writer:
    """One export: what goes where in the text."""

    def __init__(self, text: str, classes: Sequence[UvClass], document: Document) -> None:
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._ended = bool(text) and not text.endswith("\n")
        self._text = text + self._newline if self._ended else text
        self._statements = tuple(statements(self._text))
        self._classes, self._document = classes, document

    def written(self) -> str:
        """The whole text."""
        lines = self._text.split("\n")
        edits = sorted(self._edits(), key=lambda each: each.start, reverse=True)
        for edit in edits:
            replaced = "".join(f"{line}\n" for line in lines[edit.start : edit.end])
            new = region(list(edit.lines), replaced=replaced, newline=self._newline, ended=self._ended)
            lines[edit.start : edit.end] = new.removesuffix("\n").split("\n")
        text = "\n".join(lines)
        last = list(self._at_the_end())
        return text + region(last, replaced="", newline=self._newline, ended=self._ended) if last else text

    # --- what is written ---------------------------------------------------------------------------------------------

    @property
    def _single(self) -> bool:
        return len(self._classes) == 1

    def _constraints(self) -> list[Value]:
        return [_pin(each) for each in self._classes[0].pins] if self._single else []

    def _conflicts(self) -> list[Value]:
        return [] if self._single else [[{"group": each.name} for each in self._classes]]

    def _uv_keys(self) -> dict[str, list[Value]]:
        found = {"constraint-dependencies": self._constraints(), "conflicts": self._conflicts()}
        if isinstance(_at(self._document, UV).get("index"), list) and self._find(UV, "index"):
            found["index"] = list(self._index_rows())
        return {name: rows for name, rows in found.items() if rows}

    def _index_rows(self) -> Iterator[dict[str, Value]]:
        yield from _index_rows(self._classes)

    # --- where -------------------------------------------------------------------------------------------------------

    def _find(self, table: tuple[str, ...], name: str = "") -> Statement | None:
        """The statement of a key, or of the header of a table."""
        for each in self._statements:
            if each.table == table and (each.key == name or (name and canonicalize_name(each.key) == name)):
                return each
        return None

    def _edits(self) -> Iterator[_Edit]:
        new: list[str] = []
        for name, rows in self._uv_keys().items():
            there = self._find(UV, name)
            if there is not None:
                yield _Edit(start=there.start, end=there.end, lines=self._grown(there, name, rows))
            else:
                new += _list(name, rows)
        yield from self._below(UV, new)
        new = []
        for name, source in _sources(self._classes).items():
            line = f"{key(name)} = {value(source)}"
            there = self._find(SOURCES, name)
            if there is not None:
                yield _Edit(start=there.start, end=there.end, lines=(line,))
            else:
                new.append(line)
        yield from self._below(SOURCES, new)
        yield from self._below(GROUPS, self._group_lines())

    def _below(self, table: tuple[str, ...], lines: Sequence[str]) -> Iterator[_Edit]:
        header = self._find(table)
        if header is not None and lines:
            yield _Edit(start=header.end, end=header.end, lines=tuple(lines))

    def _group_lines(self) -> list[str]:
        if self._single:
            return []
        return [line for each in self._classes for line in _list(each.name, [_pin(pin) for pin in each.pins])]

    def _grown(self, there: Statement, name: str, rows: Sequence[Value]) -> tuple[str, ...]:
        """A list of the person's with ours behind theirs, its comments kept."""
        import tomlkit

        chunk = "\n".join(line.removesuffix("\r") for line in self._text.split("\n")[there.start : there.end])
        document = tomlkit.parse(chunk)
        entries = document[name]
        assert isinstance(entries, list)
        entries.extend(rows)
        return tuple(tomlkit.dumps(document).rstrip("\n").split("\n"))

    def _at_the_end(self) -> Iterator[str]:
        """The tables that are not there yet."""
        tables: list[list[str]] = []
        if self._find(UV) is None:
            lines = [
                line for name, rows in self._uv_keys().items() if not self._find(UV, name) for line in _list(name, rows)
            ]
            tables += [["[tool.uv]", *lines]] if lines else []
        sources = [f"{key(name)} = {value(source)}" for name, source in _sources(self._classes).items()]
        if self._find(SOURCES) is None and sources:
            tables.append(["[tool.uv.sources]", *sources])
        if self._find(GROUPS) is None and self._group_lines():
            tables.append(["[dependency-groups]", *self._group_lines()])
        if "index" not in self._uv_keys():
            for row in self._index_rows():
                tables.append(["[[tool.uv.index]]", *(f"{name} = {value(each)}" for name, each in row.items())])
        for place, lines in enumerate(tables):
            yield from ([""] if place else []) + lines


def _wanted(document: Document, classes: Sequence[UvClass]) -> Document:
    """What the file has to mean in the end."""
    single = len(classes) == 1
    uv = _made(_made(document, "tool"), "uv")
    if single:
        uv["constraint-dependencies"] = [
            *uv.get("constraint-dependencies", ()),
            *(_pin(pin) for pin in classes[0].pins),
        ]
    else:
        uv["conflicts"] = [*uv.get("conflicts", ()), [{"group": each.name} for each in classes]]
        groups = _made(document, "dependency-groups")
        groups |= {each.name: [_pin(pin) for pin in each.pins] for each in classes}
    sources = _sources(classes)
    if sources:
        theirs = _made(uv, "sources")
        kept = {name: each for name, each in theirs.items() if canonicalize_name(name) not in sources}
        uv["sources"] = kept | sources
    rows = list(_index_rows(classes))
    if rows:
        uv["index"] = [*uv.get("index", ()), *rows]
    return document


def _sources(classes: Sequence[UvClass]) -> dict[str, Value]:
    """The source of each member of the family."""
    found: dict[str, list[dict[str, Value]]] = {}
    for each in classes:
        for name, _ in each.pins:
            if each.index is not None:
                group = {} if len(classes) == 1 else {"group": each.name}
                found.setdefault(name, []).append({"index": each.index.name, **group})
    return {name: rows[0] if len(classes) == 1 else rows for name, rows in found.items()}


def _index_rows(classes: Sequence[UvClass]) -> Iterator[dict[str, Value]]:
    for index in dict.fromkeys(each.index for each in classes if each.index is not None):
        flat: dict[str, Value] = {"format": "flat"} if index.flat else {}
        yield {"name": index.name, "url": index.url, **flat, "explicit": True}


def _pin(pin: tuple[str, str]) -> str:
    return f"{pin[0]}=={pin[1]}"


def _list(name: str, rows: Iterable[Value]) -> list[str]:
    return [f"{key(name)} = [", *(f"    {value(row)}," for row in rows), "]"]


def _at(document: Document, path: tuple[str, ...]) -> Document:
    found: object = document
    for name in path:
        found = found.get(name, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _made(table: Document, name: str) -> Document:
    found = table.setdefault(name, {})
    return found if isinstance(found, dict) else {}
