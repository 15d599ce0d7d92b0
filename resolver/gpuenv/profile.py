"""Read profiles: TOML to :class:`Profile`, with errors that name file, line and key.

A profile is looked up by name in the project (``profiles/NAME.toml``), in the user's configuration folder, and among
the bundled ones; the first hit wins, and ``gpuenv profiles`` says which. A path ending in ``.toml`` is read as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from sys import float_info
from typing import Any, NoReturn, Protocol

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, not_toml, parse_toml
from gpuenv.errors import ConfigurationError, UsageError, nearest
from gpuenv.model.machine import ComputeCapability
from gpuenv.model.profile import Profile, VerificationPlan

Reader = Callable[["_ProfileKey", object], object]

LARGEST = 1 << 20
"""Bytes of the largest file that is taken for a profile."""


class ReadText(Protocol):
    """Reads a file of text: :func:`gpuenv.system.files.read_text`, of a room above this one."""

    def __call__(self, path: Path, /, *, what: str, shown: str | None = None, most: int = ...) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundProfile:
    """A profile by name, where it stands, and which profiles of the same name it hides."""

    name: str
    path: Path
    kind: str
    """``project``, ``user`` or ``bundled``."""
    hides: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProfileKey:
    """A key in a file, for error messages."""

    origin: str
    text: str
    table: str
    key: str

    def fail(self, sentence: str, *, hints: Iterable[str] = ()) -> NoReturn:
        line = line_of(self.text, self.table, self.key)
        where = f"{self.origin}:{line}" if line else self.origin
        dotted = f"{self.table}.{self.key}" if self.table else self.key
        raise ConfigurationError(f"{where}: {dotted}: {sentence}", hints=tuple(hints))


def line_of(text: str, table: str, key: str) -> int | None:
    """The 1-based line on which ``key`` of ``table`` (``""``: the top) is set; ``None`` when it is not found.

    >>> line_of('a = 1\\n[machine]\\nb = 2', "machine", "b")
    3
    """
    current = ""
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line.startswith("["):
            current = line.strip("[]").strip()
            if current == key and not table:
                return number
        elif current == table and line.split("=", 1)[0].strip().strip("\"'") == key:
            return number
    return None


def bundled_folder() -> Path:
    """Where the bundled profiles are: inside the package when installed, at the project's root in a checkout."""
    inside = Path(__file__).with_name("profiles")
    return inside if inside.is_dir() else Path(__file__).parents[2] / "profiles"


def find_all(*, project: Path, user: Path) -> tuple[FoundProfile, ...]:
    """Every profile that can be named, sorted by name, the winning file of each."""
    by_name: dict[str, list[tuple[str, Path]]] = {}
    for kind, folder in (("project", project / "profiles"), ("user", user / "profiles"), ("bundled", bundled_folder())):
        if not folder.is_dir():
            continue
        for path in sorted(folder.glob("*.toml")):
            rows = by_name.setdefault(path.stem, [])
            if all(_real(path) != _real(other) for _, other in rows):
                rows.append((kind, path))
    bundled = _real(bundled_folder())
    found = []
    for name, rows in sorted(by_name.items()):
        kind, path = rows[0]
        if _real(path).parent == bundled:
            kind = "bundled"  # the project is gpuenv's own checkout
        found.append(FoundProfile(name=name, path=path, kind=kind, hides=tuple(other for _, other in rows[1:])))
    return tuple(found)


def _real(path: Path) -> Path:
    """The place that links lead to; ``Path.resolve`` raises ``RuntimeError`` where they lead in a circle."""
    return Path(os.path.realpath(path))


def load(name: str, *, project: Path, user: Path, read: ReadText) -> Profile:
    """Read the profile ``name``, or the file ``name`` when it ends in ``.toml``."""
    if name.endswith(".toml"):
        path = project / name
        if not path.exists():
            raise UsageError(f"no profile file at {name}", hints=("Run `gpuenv profiles` to see the profiles by name",))
        return read_profile(path, origin=name, read=read)
    found = {row.name: row for row in find_all(project=project, user=user)}
    if name not in found:
        near = nearest(name, found)
        hints = [f"Did you mean `--profile {near[0]}`?"] if near else []
        hints.append("Run `gpuenv profiles` to see what there is")
        raise UsageError(f"there is no profile named {name!r}", hints=hints)
    row = found[name]
    origin = f"bundled:{name}" if row.kind == "bundled" else str(row.path)
    return read_profile(row.path, origin=origin, read=read)


def read_profile(path: Path, *, origin: str, read: ReadText) -> Profile:
    """Read one file. Errors name ``origin``, or the path itself for bundled profiles."""
    where = str(path) if origin.startswith("bundled:") else origin
    text = read(path, what="the profile", shown=where, most=LARGEST)
    return parse_profile(text, name=path.stem, origin=origin, where=where)


def parse_profile(text: str, *, name: str, origin: str, where: str | None = None) -> Profile:
    """Turn TOML text into a profile. Unknown keys, wrong types and impossible values are errors."""
    where = where or origin
    try:
        document = parse_toml(text)
    except DocumentError as error:
        raise not_toml(where, text, error) from error
    top = _read_table(document, text=text, where=where, table="", readers=_TOP)
    machine = _read_table(document.get("machine", {}), text=text, where=where, table="machine", readers=_MACHINE)
    plan = _read_table(
        document.get("verification", {}), text=text, where=where, table="verification", readers=_VERIFICATION
    )
    for key in ("description", "packages"):
        if key not in top:
            raise ConfigurationError(f"{where}: {key}: is missing", hints=(f"Add `{key} = …` to {where}",))
    top.pop("machine", None)
    top.pop("verification", None)
    place = _ProfileKey(origin=where, text=text, table="", key="packages")
    if not any(_project(str(item)) == "torch" for item in _tuple(top["packages"])):
        place.fail("does not name torch", hints=('Add "torch" to the list',))
    values: dict[str, object] = {"accelerator": "cuda", **top, **machine}
    return Profile(name=name, origin=origin, verification=VerificationPlan(**plan), **values)  # type: ignore[arg-type] # checked key by key above


def _read_table(
    document: object, *, text: str, where: str, table: str, readers: Mapping[str, Reader]
) -> dict[str, object]:
    if not isinstance(document, dict):
        _ProfileKey(origin=where, text=text, table="", key=table).fail("must be a table")
    values: dict[str, object] = {}
    for key, value in document.items():
        place = _ProfileKey(origin=where, text=text, table=table, key=key)
        if key not in readers:
            near = nearest(key, readers)
            hints = [f"Did you mean `{near[0]}`?"] if near else []
            place.fail("is not a key of a profile", hints=[*hints, "Valid here: " + ", ".join(sorted(readers))])
        values[key.replace("-", "_")] = readers[key](place, value)
    return values


def _tuple(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else ()


def _project(requirement: str) -> str:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return canonicalize_name(Requirement(requirement).name)


def _must_be(what: str, fits: Callable[[Any], bool]) -> Reader:  # Any: what a file may hold
    """A reader of values that ``fits`` takes; ``what`` says which they are."""

    def read(place: _ProfileKey, value: object) -> object:
        if not fits(value):
            place.fail(f"must be {what}, not {value!r}")
        return value

    return read


def _one_of(*choices: str) -> Reader:
    return _must_be(f"one of {', '.join(choices)}", lambda value: value in choices)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(least: int, most: int) -> Reader:
    what = f"a whole number from {least} to {most}"
    return _must_be(what, lambda value: _is_number(value) and isinstance(value, int) and least <= value <= most)


def _is_driver_version(value: object) -> bool:
    from gpuenv.knowledge.rules import is_dotted

    return isinstance(value, str) and is_dotted(value)


_text = _must_be("a text", lambda value: isinstance(value, str) and bool(value.strip()))
_flag = _must_be("true or false", lambda value: isinstance(value, bool))
_number = _must_be("a finite number above 0", lambda value: _is_number(value) and 0 < value <= float_info.max)
_variant = _must_be('a variant such as "cu128" or "cpu"', lambda value: isinstance(value, str) and value.isalnum())
_driver_version = _must_be('a driver version such as "570.26"', _is_driver_version)


def _requirements(place: _ProfileKey, value: object) -> object:
    from packaging.requirements import InvalidRequirement, Requirement

    from gpuenv import knowledge

    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        place.fail('must be a list of requirements, such as ["torch", "torchvision"]')
    for item in value:
        try:
            requirement = Requirement(item)
        except InvalidRequirement as error:
            place.fail(f"{item!r} is not a requirement (PEP 508): {str(error).splitlines()[0]}")
        if requirement.url and _project(item) in knowledge.load().family:
            place.fail(f"{item!r} names a URL; wheels of torch's family come from the sources, by name")
    return tuple(value)


def _specifier(place: _ProfileKey, value: object) -> object:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if not isinstance(value, str):
        place.fail(f'must be a version range such as ">=3.10", not {value!r}')
    try:
        SpecifierSet(value)
    except InvalidSpecifier:
        place.fail(f'{value!r} is not a version range (such as ">=3.10,<3.14")')
    return value


def _capabilities(place: _ProfileKey, value: object) -> object:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        place.fail('must be a list of compute capabilities, such as ["8.6", "8.9"]')
    try:
        return tuple(ComputeCapability.parse(item) for item in value)
    except ValueError as error:
        place.fail(str(error))


def _folder(place: _ProfileKey, value: object) -> object:
    text = str(_text(place, value))
    if Path(text).is_absolute() or ".." in Path(text).parts or not Path(text).parts:
        place.fail("must be a folder inside the project; use `gpuenv create TARGET` for another place")
    return text


def _subtable(place: _ProfileKey, value: object) -> object:
    return value


_TOP: dict[str, Reader] = {
    "description": _text,
    "accelerator": _one_of("cuda", "cpu", "auto"),
    "packages": _requirements,
    "optional-packages": _requirements,
    "channel": _one_of("stable", "nightly", "auto"),
    "variant": _variant,
    "python": _specifier,
    "environment": _folder,
    "keep": _flag,
    "machine": _subtable,
    "verification": _subtable,
}
_MACHINE: dict[str, Reader] = {"compute-capabilities": _capabilities, "least-driver": _driver_version}
_VERIFICATION: dict[str, Reader] = {
    "model": _one_of("gpt2", "gpt2-small", "gpt2-tiny"),
    "samples": _count(1, 1_000_000),
    "batch-size": _count(1, 4096),
    "steps": _count(2, 100_000),
    "precision": _one_of("bf16", "fp16", "fp32"),
    "loss-below": _number,
    "budget-seconds": _count(5, 86_400),
    "deadline-seconds": _count(10, 86_400),
}
