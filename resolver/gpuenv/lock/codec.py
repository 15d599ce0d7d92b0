"""A lock as text and back: PEP 751, byte for byte reproducible.

Everything an installer needs stands in the standard's own keys, so uv and pip read a lock without gpuenv; what only
gpuenv needs stands under ``[tool.gpuenv]`` and ``[packages.tool.gpuenv]``.
Tools that read nothing newer get a requirements file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import quote

from packaging.pylock import Pylock, PylockUnsupportedVersionError, PylockValidationError
from packaging.utils import canonicalize_name

from gpuenv.documents import DocumentError, not_toml, parse_toml
from gpuenv.errors import ConfigurationError, IntegrityError, UsageError
from gpuenv.knowledge.rules import is_dotted
from gpuenv.lock import text as toml
from gpuenv.lock.model import (
    Lock,
    LockedDecision,
    LockedPackage,
    LockInputs,
    MachineTarget,
    filename_of,
    is_sha256,
)
from gpuenv.lock.reading import LockTable
from gpuenv.lock.target import environment_marker
from gpuenv.lock.text import one_line
from gpuenv.model.decision import GpuSupport
from gpuenv.model.machine import ComputeCapability

_OF_PACKAGE = ("source", "family", "hash_origin", "git", "signed", "requires")
"""Attributes of a package that the standard has no key for."""
_TABLES = ("target", "gpus")
"""Attributes that are tables of their own."""
_KEYS = {"snapshot": "index-snapshot"}
"""Keys that are not their attribute's name with ``-``."""
_LEFT_OUT = (
    "family", "single_source", "kernels_from", "signed", "requires", "options", "requirements", "companions",
)  # fmt: skip
"""Attributes that are not written where there is nothing in them."""

FORMAT = 1
"""Of what stands under ``[tool.gpuenv]``; a lock of a later format is refused."""

_WHEEL = re.compile(r"\.wheels\[\d+\]\Z")
_PYTHON = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){1,2}t?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")

_TOP_KEYS = frozenset({"lock-version", "environments", "requires-python", "created-by", "packages", "tool"})
_PACKAGE_KEYS = frozenset({"name", "version", "dependencies", "wheels", "tool"})
"""What :func:`render` writes of the standard's keys. Another, such as a marker that leaves torch out, was added
later."""
_OF_THE_STANDARD = _PACKAGE_KEYS | {
    "marker", "requires-python", "vcs", "directory", "archive", "index", "sdist", "attestation-identities",
}  # fmt: skip
"""Every key that PEP 751 gives a package."""


def lock_filename(name: str) -> str:
    """The file name of a lock: ``pylock.<name>.toml``, where the name has no dot (PEP 751, "File Name").

    >>> lock_filename("blackwell")
    'pylock.blackwell.toml'

    Raises :class:`~gpuenv.errors.UsageError` for a name no installer would accept.
    """
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"a lock cannot be named {name!r}: letters, digits, - and _ only (PEP 751 allows no dot)",
            hints=("Give the profile another name",),
        )
    return f"pylock.{name}.toml"


def render(lock: Lock) -> str:
    """Write a lock. The same lock gives the same text; :func:`parse` gives the lock back."""
    head: toml.Entries = {
        "lock-version": "1.0",
        "environments": [environment_marker(lock.inputs.target)],
        "requires-python": f"=={lock.inputs.target.python}.*",
        "created-by": "gpuenv",
        "packages": None if lock.packages else [],
    }
    lines = [f"# {toml.one_line(lock.command)}", *toml.table(head), "", *record(lock)]
    for package in lock.packages:
        lines += _package(package)
    return "\n".join(lines).rstrip("\n") + "\n"


def record(lock: Lock) -> list[str]:
    """The tables under ``[tool.gpuenv]``: what the lock was made from, and the decision."""
    head = ["[tool.gpuenv]", *toml.table({"format": FORMAT, "command": lock.command}), ""]
    return [*head, *_inputs(lock.inputs), *_decision(lock.decision)]


def read_record(ours: LockTable) -> tuple[str, LockInputs, LockedDecision]:
    """What :func:`record` wrote: command, inputs, decision."""
    found = ours.index("format")
    if found != FORMAT:
        ours.fail("format", f"is {found}; this gpuenv reads {FORMAT}")
    return ours.text("command"), _read_inputs(ours.table("inputs")), _read_decision(ours.table("decision"))


@cache
def _own(kind: type) -> dict[str, tuple[str, object]]:
    """Key and type of each attribute that stands in the table of its class under ``[tool.gpuenv]``, in their order."""
    hints = get_type_hints(kind)
    names = _OF_PACKAGE if kind is LockedPackage else [each.name for each in fields(kind) if each.name not in _TABLES]
    return {name: (_KEYS.get(name, name.replace("_", "-")), hints[name]) for name in names}


def _entries(value: object) -> toml.Entries:
    """What a table holds; ``None`` is not written."""
    found: dict[str, toml.Value | None] = {}
    kind: type = type(value)
    for name, (key, _) in _own(kind).items():
        item = getattr(value, name)
        if name in _LEFT_OUT and not item:
            continue
        match item:
            case ComputeCapability():
                found[key] = str(item)
            case tuple():
                found[key] = [str(each) for each in item]
            case _:
                found[key] = toml.Moment(item) if item is not None and name == "cutoff" else item
    return found


def _attributes(kind: type, table: LockTable) -> dict[str, Any]:  # Any: each is what its attribute's type says
    """What :func:`_entries` wrote, by attribute. Refuses a key too many."""
    found: dict[str, Any] = {}
    for name, (key, hint) in _own(kind).items():
        if name == "cutoff":
            found[name] = table.maybe_time(key)
        elif name == "kernels_from":
            found[name] = table.maybe_text(key) or ""
        elif get_origin(hint) is Literal:
            found[name] = table.choice(key, get_args(hint))
        else:
            found[name] = _READERS[hint](table, key)
    table.end()
    return found


def _capability(table: LockTable, key: str, text: str | None = None) -> ComputeCapability:
    try:
        return ComputeCapability.parse(table.text(key) if text is None else text)
    except ValueError as error:
        table.fail(key, f"is {error}")


def _capabilities(table: LockTable, key: str) -> tuple[ComputeCapability, ...]:
    texts = table.texts(key)
    return tuple(_capability(table, f"{key}[{place}]", text) for place, text in enumerate(texts))


_READERS: dict[object, Callable[[LockTable, str], object]] = {
    str: LockTable.text,
    str | None: LockTable.maybe_text,
    int: LockTable.index,
    bool: LockTable.flag,
    tuple[str, ...]: LockTable.texts,
    tuple[str, ...] | None: LockTable.maybe_texts,
    ComputeCapability: _capability,
    tuple[ComputeCapability, ...]: _capabilities,
}


def _inputs(inputs: LockInputs) -> list[str]:
    return [
        *("[tool.gpuenv.inputs]", *toml.table(_entries(inputs)), ""),
        *("[tool.gpuenv.inputs.machine]", *toml.table(_entries(inputs.target)), ""),
    ]


def _decision(decision: LockedDecision) -> list[str]:
    lines = ["[tool.gpuenv.decision]", *toml.table(_entries(decision)), ""]
    for gpu in decision.gpus:
        lines += ["[[tool.gpuenv.decision.gpus]]", *toml.table(_entries(gpu)), ""]
    return lines


def _package(package: LockedPackage) -> list[str]:
    wheel: toml.Entries = {
        "name": package.filename,
        "upload-time": None if package.upload_time is None else toml.Moment(package.upload_time),
        "url": package.url,
        "path": package.path,
        "size": package.size,
        "hashes": {"sha256": package.sha256},
    }
    needs = None if package.dependencies is None else [{"name": name} for name in package.dependencies]
    first: toml.Entries = {
        "name": package.name,
        "version": package.version,
        "dependencies": needs,
        "wheels": [wheel],
        **{name: json.loads(text) for name, text in package.unknown},
    }
    ours = _entries(package)
    return ["[[packages]]", *toml.table(first), "", "[packages.tool.gpuenv]", *toml.table(ours), ""]


def parse(text: str, *, origin: str) -> Lock:
    """Read a lock that gpuenv wrote. ``origin`` is its name in errors.

    Refuses what no installer should be handed: a wheel without sha256 (uv takes md5 alone even with
    ``--require-hashes``), an empty one, several files for one package, a source distribution.

    Raises :class:`~gpuenv.errors.ConfigurationError` naming file and key.
    """
    try:
        document = parse_toml(text)
    except DocumentError as error:
        raise not_toml(origin, text, error) from None
    try:
        Pylock.from_dict(document)
    except PylockUnsupportedVersionError as error:
        raise ConfigurationError(f"{origin}: lock-version: {error}") from None
    except PylockValidationError as error:
        key = error.context or "the file"
        # A wheel that is not its package's is an edit like those that lock.soundness finds, and ends like them.
        kind = IntegrityError if _WHEEL.search(key) else ConfigurationError
        raise kind(f"{origin}: {key}: {error.message.splitlines()[0]}") from None
    top = LockTable(origin, "", document)
    tool = document.get("tool")
    if not isinstance(tool, dict) or "gpuenv" not in tool:
        raise ConfigurationError(
            f"{origin}: [tool.gpuenv] is missing: this lock was not made by gpuenv",
            hints=("Make one here: `gpuenv lock`",),
        )
    ours = top.table("tool").table("gpuenv")
    try:
        command, inputs, decision = read_record(ours)
        lock = Lock(
            command=command,
            inputs=inputs,
            decision=decision,
            packages=tuple(_read_package(row, table) for row, table in enumerate(top.tables("packages"))),
        )
    except ValueError as error:
        raise ConfigurationError(f"{origin}: {error}") from None
    ours.end()
    _refuse_edits(top, lock)
    return lock


def _refuse_edits(top: LockTable, lock: Lock) -> None:
    """Raise where an installer would read something else than what this lock was made for."""
    target = lock.inputs.target
    right = {"environments": [environment_marker(target)], "requires-python": f"=={target.python}.*"}
    for key, ours in right.items():
        if key in top.entries and top.entries[key] != ours:
            raise IntegrityError(f"{top.origin}: {key} is not that of the machine this lock was made for: {ours}")
    packages = ((table, _PACKAGE_KEYS) for table in top.tables("packages"))
    for table, known in ((top, _TOP_KEYS), *packages):
        for key in sorted(set(table.entries) - known):
            if table is not top and key not in _OF_THE_STANDARD and isinstance(table.entries[key], dict):
                continue
            place = f"{table.path}.{key}" if table.path else key
            raise IntegrityError(f"{top.origin}: {place} was added later: a lock of gpuenv has none")


def _read_inputs(table: LockTable) -> LockInputs:
    machine = table.table("machine")
    target = MachineTarget(**_attributes(MachineTarget, machine))
    if target.driver is not None and not is_dotted(target.driver):
        machine.fail("driver", f"is {target.driver!r}, not a version of a driver")
    if _PYTHON.fullmatch(target.python) is None:
        machine.fail("python", f"is {target.python!r}, not a version such as 3.12")
    return LockInputs(target=target, **_attributes(LockInputs, table))


def _read_decision(table: LockTable) -> LockedDecision:
    gpus = tuple(GpuSupport(**_attributes(GpuSupport, row)) for row in table.tables("gpus"))
    decision = LockedDecision(gpus=gpus, **_attributes(LockedDecision, table))
    if decision.least_driver is not None and not is_dotted(decision.least_driver):
        table.fail("least-driver", f"is {decision.least_driver!r}, not a version of a driver")
    return decision


def _read_package(row: int, table: LockTable) -> LockedPackage:
    wheels = table.tables("wheels")
    if len(wheels) != 1:
        table.fail("wheels", f"lists {len(wheels)} files; a lock of gpuenv names exactly one wheel a package")
    if "sdist" in table.entries:
        table.fail("sdist", "names a source distribution; a lock of gpuenv holds wheels only")
    wheel = wheels[0]
    url, path = wheel.maybe_text("url"), wheel.maybe_text("path")
    if url is not None and path is not None:
        wheel.fail("path", "stands beside url; a wheel has one place")
    hashes = wheel.table("hashes")
    sha256 = hashes.maybe_text("sha256")
    if sha256 is None:
        hashes.fail("sha256", f"is missing: {', '.join(sorted(hashes.entries))} alone does not identify a file")
    if not is_sha256(sha256):
        hashes.fail("sha256", f"is not a sha256: {sha256!r}")
    return LockedPackage(
        name=table.text("name"),
        version=table.text("version"),
        filename=wheel.maybe_text("name") or filename_of(url or path or ""),
        url=url,
        path=path,
        sha256=sha256,
        size=wheel.maybe_size("size"),
        upload_time=wheel.maybe_time("upload-time"),
        dependencies=_read_dependencies(table),
        row=row,
        unknown=_unknown(table),
        **_attributes(LockedPackage, table.table("tool").table("gpuenv")),
    )


def _unknown(table: LockTable) -> tuple[tuple[str, str], ...]:
    """Tables that PEP 751 does not know: a tool that rewrites a lock has to leave them (PEP 825, "Lock files")."""
    found = ((key, table.entries[key]) for key in sorted(set(table.entries) - _OF_THE_STANDARD))
    try:
        return tuple((key, json.dumps(value, ensure_ascii=False)) for key, value in found if isinstance(value, dict))
    except TypeError as error:
        raise ConfigurationError(f"{table.origin}: {table.path}: {error}") from None


def _read_dependencies(table: LockTable) -> tuple[str, ...] | None:
    if "dependencies" not in table.entries:
        return None
    return tuple(canonicalize_name(row.text("name")) for row in table.tables("dependencies"))


_OF_A_URL = "/%:@!$&'()*+,;=~-._?#[]"
"""Characters that an address keeps; a blank or a line's end would begin another word of the file."""


def to_requirements(lock: Lock) -> str:
    """Write one line per package: its exact file and its sha256.

    Files, not versions: a version would be looked for on whatever index the reader uses, and torch's is not there.
    Install with ``--no-deps --require-hashes``, as the second line says.
    """
    lines = [
        f"# {one_line(lock.command)} --format requirements",
        "# pip install --no-deps --require-hashes -r this-file",
        f"# Python {one_line(lock.inputs.target.python)}, {lock.inputs.target.os} {lock.inputs.target.arch}",
    ]
    lines += [f"{_place(package)} --hash=sha256:{package.sha256}" for package in lock.packages]
    return "\n".join(lines) + "\n"


def _place(package: LockedPackage) -> str:
    if package.url is not None:
        return f"{package.name} @ {quote(package.url, safe=_OF_A_URL)}"
    path = one_line(str(package.path))
    if path.startswith("/"):
        return f"{package.name} @ file://{quote(path)}"
    if path[1:3] == ":/":  # a drive of Windows
        return f"{package.name} @ file:///{path[:2]}{quote(path[2:])}"
    # A relative path is no URL; both uv and pip read it from where they are started.
    return path if "/" in path else f"./{path}"
