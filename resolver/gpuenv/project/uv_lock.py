"""Reads ``uv.lock``: follows the requirements of its project on one machine, as ``uv sync`` does.

Which of several torches is installed hangs on markers, and for extras and groups that exclude each other on markers of
uv's own: ``extra == 'extra-7-project-cu128'`` asks whether the extra ``cu128`` of ``project`` was asked for, ``group-``
the same of a group. uv documents the file as readable and not as a standard; seen with lock versions up to 1.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Literal

from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError
from gpuenv.lock.reading import LockTable
from gpuenv.project.pins import Environment, MarkerTarget, Pin, PinSet, Relevant, excluded, holds, most_usual
from gpuenv.project.tables import Lines, document, files_of, version_of

_READS = 1
"""The lock version that this reads; a new revision of it stays readable, by uv's own rule."""
_DEFAULT_GROUPS = frozenset({"dev"})
"""What ``uv sync`` installs where the project names no ``default-groups``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _UvPackage:
    """One package of the file."""

    row: int
    name: str
    version: str
    table: LockTable
    markers: tuple[str, ...]
    index: str
    local: bool
    """A folder of the project's own: its root, or a member of its workspace."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UvLock:
    """A ``uv.lock``, read."""

    shown: str
    requires_python: str
    packages: tuple[_UvPackage, ...]
    lines: Lines
    relevant: Relevant
    environments: tuple[str, ...] = ()
    default_groups: frozenset[str] = _DEFAULT_GROUPS
    kind: Literal["uv"] = "uv"
    _by_name: dict[str, list[_UvPackage]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many packages it fixes, the project's own left out."""
        return sum(not each.local for each in self.packages)

    @property
    def usual_index(self) -> str:
        """The index that most packages come from."""
        return most_usual(each.index for each in self.packages)

    def refuses(self, target: MarkerTarget) -> str:
        """Its environments, where none of them is the machine: uv installs nothing there."""
        return excluded(self.environments, target)

    def sets(self, target: MarkerTarget) -> tuple[PinSet, ...]:
        """By default, then with each extra and each group of the project alone."""
        roots = [each for each in self.packages if each.local] or list(self.packages)
        extras = sorted({key for each in roots for key in _keys(each.table, "optional-dependencies")})
        groups = sorted({key for each in roots for key in _keys(each.table, "dev-dependencies")})
        found = [PinSet(name="", pins=self._pins(roots, target, extra="", group=""))]
        found += (PinSet(name=f"extra {each}", pins=self._pins(roots, target, extra=each, group="")) for each in extras)
        found += (
            PinSet(name=f"group {each}", pins=self._pins(roots, target, extra="", group=each))
            for each in groups
            if each not in self.default_groups
        )
        return tuple(found)

    def _pins(self, roots: list[_UvPackage], target: MarkerTarget, *, extra: str, group: str) -> tuple[Pin, ...]:
        groups = self.default_groups | ({group} if group else set())
        asked = {f"extra-{len(each.name)}-{each.name}-{extra}" for each in roots} if extra else set()
        asked |= {f"group-{len(each.name)}-{each.name}-{each_group}" for each in roots for each_group in groups}
        reached: dict[int, _UvPackage] = {}
        waiting: list[tuple[_UvPackage, str]] = []
        for root in roots:
            reached[root.row] = root
            keys = ["dependencies"]
            keys += [f"optional-dependencies.{extra}"] if extra else []
            keys += [f"dev-dependencies.{each}" for each in sorted(groups)]
            waiting += ((root, key) for key in keys)
        seen = set()
        while waiting:
            package, key = waiting.pop()
            if (package.row, key) in seen:
                continue
            seen.add((package.row, key))
            for wanted in _requirements(package.table, key):
                if not _applies(wanted.maybe_text("marker") or "", target.markers, asked):
                    continue
                for found in self._candidates(wanted, target.markers, asked):
                    reached[found.row] = found
                    extras = wanted.maybe_texts("extra") or ()
                    waiting += (
                        (found, each)
                        for each in ("dependencies", *(f"optional-dependencies.{name}" for name in extras))
                    )
        chosen = (each for _, each in sorted(reached.items()) if not each.local and self.relevant(each.name))
        return tuple(self._pin(each) for each in chosen)

    def _candidates(self, wanted: LockTable, environment: Environment, asked: set[str]) -> Iterator[_UvPackage]:
        """The packages that a requirement leads to: usually one; forks are told apart by version, then by markers."""
        version = wanted.maybe_text("version")
        source = wanted.entries.get("source")
        for each in self._by_name.get(canonicalize_name(wanted.text("name")), ()):
            if version is not None and each.version != version:
                continue
            if source is not None and each.table.entries.get("source") != source:
                continue
            if each.markers and not any(_applies(marker, environment, asked) for marker in each.markers):
                continue
            yield each

    def _pin(self, package: _UvPackage) -> Pin:
        wheels = files_of(package.table, "wheels")
        return Pin(
            name=package.name,
            version=package.version,
            place=self.lines.of(package.row),
            index=package.index,
            wheels=wheels,
            source=not wheels,
        )


def read_uv_lock(text: str, *, shown: str, relevant: Relevant, default_groups: frozenset[str] | None = None) -> UvLock:
    """Read a ``uv.lock``. ``default_groups`` are those of the project beside it, where it names any.

    Raises :class:`~gpuenv.errors.ConfigurationError` with the place.
    """
    top = document(_without_files(text, relevant), shown)
    version = top.entries.get("version")
    if version != _READS:
        raise ConfigurationError(
            f"{shown}: its format is version {version!r}, this gpuenv reads version {_READS}",
            hints=("Run `uv export --format pylock.toml -o pylock.toml`, and check that file",),
        )
    packages = []
    by_name: dict[str, list[_UvPackage]] = {}
    for row, table in enumerate(top.tables("package")):
        source = table.entries.get("source")
        source = source if isinstance(source, Mapping) else {}
        where = {key: str(source[key]) for key in ("editable", "virtual", "directory") if key in source}
        package = _UvPackage(
            row=row,
            name=canonicalize_name(table.text("name")),
            version=version_of(table),
            table=table,
            markers=table.texts("resolution-markers"),
            index=str(source.get("registry", "")),
            local="editable" in where or "virtual" in where,
        )
        packages.append(package)
        by_name.setdefault(package.name, []).append(package)
    return UvLock(
        shown=shown,
        requires_python=top.maybe_text("requires-python") or "",
        packages=tuple(packages),
        lines=Lines(text, shown, "package"),
        relevant=relevant,
        environments=top.texts("supported-markers"),
        default_groups=_DEFAULT_GROUPS if default_groups is None else default_groups,
        _by_name=by_name,
    )


_PACKAGE = "\n[[package]]\n"
_TABLE = r'\{ [a-z-]+ = (?:"[^"\\\n]*"|\d+)(?:, [a-z-]+ = (?:"[^"\\\n]*"|\d+))* \}'
_FILES = re.compile(rf"^(?:sdist = {_TABLE}|wheels = \[\n(?:    {_TABLE},\n)+\])$", re.MULTILINE)


def _without_files(text: str, relevant: Relevant) -> str:
    """The file without the lists of files of packages that nobody asks about, each line left empty.

    They are nine tenths of it, and parsing them takes longer than everything else. Only what is written exactly as uv
    writes it is left out: all of it is valid TOML, and what is damaged is still found.
    """
    parts = text.split(_PACKAGE)
    for place, part in enumerate(parts):
        name = part.partition("\n")[0].removeprefix('name = "').removesuffix('"')
        if place and not relevant(name):
            parts[place] = _FILES.sub(lambda found: "\n" * found[0].count("\n"), part)
    return _PACKAGE.join(parts)


def _keys(table: LockTable, key: str) -> Iterable[str]:
    entry = table.entries.get(key)
    return entry.keys() if isinstance(entry, Mapping) else ()


def _requirements(table: LockTable, key: str) -> tuple[LockTable, ...]:
    outer, _, inner = key.partition(".")
    if not inner:
        return table.tables(outer)
    return table.table(outer).tables(inner) if inner in _keys(table, outer) else ()


_OF_CONFLICT = re.compile(r"""extra\s*(==|!=)\s*['"]((?:extra|group|project)-\d+-[^'"]+)['"]""")


def _applies(marker: str, environment: Environment, asked: set[str]) -> bool:
    """Whether a marker holds; of uv's own markers of conflicts several may be asked for at once, so that each is
    replaced by what it comes to before the rest is evaluated."""
    if not marker:
        return True

    def said(found: re.Match[str]) -> str:
        return _TRUE if (found[2] in asked) == (found[1] == "==") else _FALSE

    return holds(_OF_CONFLICT.sub(said, marker), environment)


_TRUE, _FALSE = "python_version >= '0'", "python_version < '0'"
