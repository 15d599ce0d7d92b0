"""``pyproject.toml`` as it asks for packages: PEP 621, PEP 735, and what ``[tool.uv]`` and poetry say beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, not_toml, parse_toml
from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.metadata import parse_range, parse_requirement
from gpuenv.model.asked import Asked, Role, Stated, together
from gpuenv.project.block import read_past_regions
from gpuenv.project.lines import checked, index_line, wheel_line

Table = Mapping[str, object]
Applies = Callable[[str], bool]
"""Whether a marker holds on the machine that is decided for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a project is asked for beside its dependencies."""

    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def read_pyproject(
    text: str,
    *,
    path: Path,
    shown: str,
    choice: Choice,
    family: frozenset[str],
    applies: Applies,
    read_file: Callable[[Path], Asked],
) -> Asked:
    """Read what a ``pyproject.toml`` asks for. ``path`` is where it stands, ``shown`` its name in what is said.

    ``read_file`` reads a requirements file that it names (``[tool.setuptools.dynamic]``).

    Raises :class:`~gpuenv.errors.ConfigurationError` with place and reason for what cannot be read, and
    :class:`~gpuenv.errors.UsageError` for an extra or a group that it does not have.
    """
    text = read_past_regions(text)  # what `export --format uv` wrote follows from the lock, and asks for nothing
    try:
        document = parse_toml(text)
    except DocumentError as error:
        raise not_toml(shown, text, error) from None
    reader = _ProjectReader(
        document=document,
        text=text,
        quoted=_quoted(text),
        path=path,
        shown=shown,
        choice=choice,
        family=family,
        applies=applies,
    )
    dynamic = [read_file(path.parent / name) for name in reader.dynamic_files()]
    return together([reader.read(), *dynamic])


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProjectReader:
    """One reading of one file."""

    document: Table
    text: str
    quoted: Mapping[str, int]
    """The first line of each text in quotes."""
    path: Path
    shown: str
    choice: Choice
    family: frozenset[str]
    applies: Applies

    # --- tables ------------------------------------------------------------------------------------------------------

    @property
    def project(self) -> Table:
        return self._table(self.document, "project")

    @property
    def uv(self) -> Table:
        return self._table(self._table(self.document, "tool"), "uv")

    def _table(self, table: Table, key: str) -> Table:
        found = table.get(key, {})
        return found if isinstance(found, dict) else self._fail(key, "must be a table")

    def _texts(self, table: Table, key: str, place: str) -> list[str]:
        found = table.get(key, [])
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            self._fail(place, "must be a list of requirements")
        return [str(each) for each in found]

    def _fail(self, key: str, why: str) -> NoReturn:
        raise ConfigurationError(f"{self.key_place(key)}: {key} {why}")

    def place(self, text: str) -> str:
        """Where a value stands: the file, with the first line that holds it in quotes."""
        line = self.quoted.get(text)
        return self.shown if line is None else f"{self.shown}:{line}"

    def key_place(self, name: str) -> str:
        """Where a key or the table of that name stands."""
        key = re.compile(rf"""\s*(?:\[+[^\]]*\b)?(?:[\w.-]+\.)?["']?{re.escape(name)}["']?\s*[\]=]""", re.IGNORECASE)
        lines = enumerate(self.text.splitlines(), start=1)
        found = next((number for number, line in lines if key.match(line)), None)
        return self.shown if found is None else f"{self.shown}:{found}"

    # --- what it asks for --------------------------------------------------------------------------------------------

    def read(self) -> Asked:
        self._refuse_conflicts()
        stated = list(self._stated())
        if not stated:  # indexes and limits of a project that asks for no package are other tools' settings
            return Asked(notes=tuple(self._notes()))
        stated += self._limits()
        names = {_name(row) for row in stated}
        parts = list(self._indexes())
        for name, source in self._sources(names):
            stated, found = self._apply(name, source, stated)
            parts.append(found)
        where = together(parts)
        return Asked(
            stated=tuple(stated),
            pythons=tuple(self._pythons()),
            builds=tuple(dict.fromkeys(where.builds)),
            sources=tuple(dict.fromkeys(where.sources)),
            files=(self._taken(len([row for row in stated if row.role == "requirement"])),),
            notes=(*where.notes, *self._notes()),
        )

    def _taken(self, count: int) -> str:
        chosen = [f"extra {each}" for each in self.choice.extras] + [f"group {each}" for each in self.choice.groups]
        return ", ".join([f"{self.shown}: {count} requirement{'' if count == 1 else 's'}", *chosen])

    def _refuse_conflicts(self) -> None:
        """Refuse extras and groups together that the project declares to conflict (``[tool.uv] conflicts``)."""
        chosen = {("extra", canonicalize_name(each)) for each in self.choice.extras}
        chosen |= {("group", canonicalize_name(each)) for each in self.choice.groups}
        sets = self.uv.get("conflicts", [])
        for rows in sets if isinstance(sets, list) else []:
            listed = rows if isinstance(rows, list) else []
            entries = [(kind, name) for row in listed if isinstance(row, dict) for kind, name in row.items()]
            both = [f"{kind} {name}" for kind, name in entries if (kind, canonicalize_name(str(name))) in chosen]
            if len(both) > 1:
                raise UsageError(
                    f"{self.key_place('conflicts')}: {' and '.join(both)} are declared to conflict",
                    hints=("Name one of them",),
                )

    def _stated(self) -> Iterator[Stated]:
        for text in self._texts(self.project, "dependencies", "dependencies"):
            yield self._requirement(text)
        yield from map(self._requirement, self._extras())
        yield from map(self._requirement, self._groups())

    def _limits(self) -> Iterator[Stated]:
        roles: dict[str, Role] = {"constraint-dependencies": "constraint", "override-dependencies": "override"}
        for key, role in roles.items():
            for text in self._texts(self.uv, key, key):
                yield replace(self._requirement(text), role=role)

    def _requirement(self, text: str) -> Stated:
        return Stated(text=checked(text, place=self.place(text), folder=self.path.parent), place=self.place(text))

    def _extras(self) -> list[str]:
        """The requirements of the chosen extras; ``name[other]`` of the project itself means its other extra."""
        table = self._table(self.project, "optional-dependencies")
        named = {canonicalize_name(key): key for key in table}
        waiting = [canonicalize_name(each) for each in self.choice.extras]
        own, seen, found = canonicalize_name(str(self.project.get("name", ""))), set[str](), list[str]()
        while waiting:
            extra = waiting.pop(0)
            if extra not in named:
                raise _unknown("extra", extra, sorted(table), self.shown)
            if extra in seen:
                continue
            seen.add(extra)
            for text in self._texts(table, named[extra], named[extra]):
                requirement = parse_requirement(text)
                if requirement is not None and own and canonicalize_name(requirement.name) == own:
                    waiting += [canonicalize_name(each) for each in sorted(requirement.extras)]
                else:
                    found.append(text)
        return found

    def _groups(self) -> list[str]:
        """The requirements of the chosen dependency groups, with those that they include (PEP 735)."""
        from packaging.dependency_groups import DependencyGroupResolver

        table = self._table(self.document, "dependency-groups")
        named = {canonicalize_name(key) for key in table}
        for group in self.choice.groups:
            if canonicalize_name(group) not in named:
                raise _unknown("group", group, sorted(table), self.shown)
        try:
            resolver = DependencyGroupResolver(table)  # type: ignore[arg-type] # it checks each entry itself
            return [str(each) for group in self.choice.groups for each in resolver.resolve(group)]
        except (ValueError, TypeError, LookupError) as error:
            raise ConfigurationError(f"{self.key_place('dependency-groups')}: {error}") from None
        except BaseExceptionGroup as errors:
            place, causes = self.key_place("dependency-groups"), tuple(map(str, errors.exceptions))
            raise ConfigurationError(f"{place}: a group cannot be read", causes=causes) from None

    def _pythons(self) -> Iterator[Stated]:
        text = self.project.get("requires-python")
        if text is None:
            return
        place = self.key_place("requires-python")
        if not isinstance(text, str) or parse_range(text) is None:
            raise ConfigurationError(f"{place}: requires-python is not a version range: {text}")
        yield Stated(text=text, place=place)

    def dynamic_files(self) -> tuple[str, ...]:
        """Requirements files that setuptools takes the dependencies from (``dynamic``)."""
        entry = self._table(self._dynamic(), "dependencies") if self._is_dynamic() else {}
        files = entry.get("file", [])
        return (files,) if isinstance(files, str) else tuple(map(str, files)) if isinstance(files, list) else ()

    def _is_dynamic(self) -> bool:
        dynamic = self.project.get("dynamic", [])
        return isinstance(dynamic, list) and "dependencies" in dynamic

    def _dynamic(self) -> Table:
        return self._table(self._table(self._table(self.document, "tool"), "setuptools"), "dynamic")

    def _notes(self) -> Iterator[str]:
        if self._is_dynamic() and not self.dynamic_files():
            yield f"{self.key_place('dynamic')}: the dependencies are dynamic, which only a build can tell: not taken"
        poetry = self._table(self._table(self.document, "tool"), "poetry")
        if poetry.get("dependencies") and "dependencies" not in self.project:
            yield (
                f"{self.key_place('poetry.dependencies')}: poetry's own table is not read: put the requirements "
                "into [project], or take an export of them with -r"
            )

    # --- where packages come from ------------------------------------------------------------------------------------

    @property
    def _named_indexes(self) -> dict[str, tuple[str, bool]]:
        """Address, and whether it serves only what names it, of each index of uv and source of poetry."""
        poetry = self._table(self._table(self.document, "tool"), "poetry")
        found: dict[str, tuple[str, bool]] = {}
        for entry in self._tables(self.uv, "index"):
            url = str(entry.get("url", ""))
            found[str(entry.get("name", url))] = (url, entry.get("explicit") is True)
        for entry in self._tables(poetry, "source"):
            found[str(entry.get("name", ""))] = (str(entry.get("url", "")), entry.get("priority") == "explicit")
        return {name: each for name, each in found.items() if each[0]}

    def _tables(self, table: Table, key: str) -> list[Table]:
        found = table.get(key, [])
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            self._fail(key, "must be an array of tables")
        return list(found)

    def _free_addresses(self) -> Iterator[str]:
        """Indexes that serve any package: those of the tables, and of the older keys."""
        yield from (url for url, explicit in self._named_indexes.values() if not explicit)
        for key in ("index-url", "extra-index-url"):
            found = self.uv.get(key, [])
            yield from [found] if isinstance(found, str) else self._texts(self.uv, key, key)

    def _indexes(self) -> Iterator[Asked]:
        for url in self._free_addresses():
            yield self._index(url)
        for url in self._texts(self.uv, "find-links", "find-links"):
            yield self._index(url, links=True)

    def _index(self, url: str, *packages: str, links: bool = False) -> Asked:
        return index_line(url, place=self.place(url), folder=self.path.parent, links=links, packages=packages)

    def _sources(self, names: set[str]) -> Iterator[tuple[str, Table]]:
        """The source of each package that is asked for, where it counts for what was chosen on this machine."""
        poetry = self._table(self._table(self.document, "tool"), "poetry")
        tables = (self._table(self.uv, "sources"), self._table(poetry, "dependencies"))
        for table in tables:
            for name, entry in table.items():
                rows = entry if isinstance(entry, list) else [entry]
                for row in rows:
                    if canonicalize_name(name) in names and isinstance(row, dict) and self._counts(row):
                        yield canonicalize_name(name), row

    def _counts(self, row: Table) -> bool:
        extra, group, marker = row.get("extra"), row.get("group"), row.get("marker")
        if extra is not None and canonicalize_name(str(extra)) not in map(canonicalize_name, self.choice.extras):
            return False
        if group is not None and canonicalize_name(str(group)) not in map(canonicalize_name, self.choice.groups):
            return False
        return marker is None or self.applies(str(marker))

    def _apply(self, name: str, row: Table, stated: Sequence[Stated]) -> tuple[list[Stated], Asked]:
        """Apply the source of one package to the requirements on it."""
        index = row.get("index", row.get("source"))
        if index is not None:
            return list(stated), self._bound(name, str(index))
        place = self.key_place(name)
        if "url" in row or str(row.get("path", "")).endswith(".whl"):
            where = str(row.get("url", row.get("path")))
            line = wheel_line(name, where, place=place, folder=self.path.parent)
            return [replace(each, text=line, place=place) if _name(each) == name else each for each in stated], Asked()
        kind = next((each for each in ("git", "path", "workspace") if each in row), "")
        if not kind:
            return list(stated), Asked()
        said = {"git": "a repository", "path": "a folder", "workspace": "a member of the workspace"}[kind]
        raise ConfigurationError(
            f"{place}: {name} comes from {said}, and only wheels are locked",
            causes=("a build from source runs code that no lock can name",),
            hints=("Leave the project out: `gpuenv lock --no-project`",),
        )

    def _bound(self, name: str, index: str) -> Asked:
        address = self._named_indexes.get(index)
        if address is None:
            self._fail(name, f"names the index {index}, which is not there")
        found = self._index(address[0], name)
        if name not in self.family or not found.sources:
            return found
        shown = found.sources[0].address.shown
        note = f"{name} is taken from the torch source, not from {shown}; `--torch-index` names another"
        return Asked(notes=(f"{self.key_place(name)}: {note}",))


_STRING = re.compile(r"""#.*|"((?:[^"\\\n]|\\.)*)"|'([^'\n]*)'""")


def _quoted(text: str) -> dict[str, int]:
    """Texts in quotes by their first line; what a comment holds does not count."""
    found: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        for match in _STRING.finditer(line):
            value = match[1].replace('\\"', '"') if match[1] is not None else match[2]
            if value is not None:
                found.setdefault(value, number)
    return found


def _name(row: Stated) -> str:
    requirement = parse_requirement(row.text)
    return canonicalize_name(requirement.name) if requirement is not None else ""


def _unknown(kind: str, name: str, there: Sequence[str], shown: str) -> UsageError:
    has = f"It has {', '.join(there)}" if there else f"It has no {kind}s"
    return UsageError(f"{shown} has no {kind} {name}", hints=(has,))
