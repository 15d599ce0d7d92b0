"""A lock as hashed requirements: names, versions, hashes and markers, and no address.

A lock by PEP 751 says where each wheel lies, so one that was made at an index is bound to its host. This form is not:
the index stays configuration, and the files are found there by their hashes when the lock is used. pip and uv install
it as it is, with ``--require-hashes --no-deps``; what only gpuenv needs stands in a block of comments, as PEP 723 has
it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import get_args

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from gpuenv.documents import DocumentError, parse_toml
from gpuenv.errors import ConfigurationError, IntegrityError, UsageError
from gpuenv.lock import text as toml
from gpuenv.lock.codec import lock_filename, read_record, record
from gpuenv.lock.making import hosts_of, is_known_file, package_of
from gpuenv.lock.model import Lock, LockedPackage, filename_of, is_sha256
from gpuenv.lock.reading import LockTable
from gpuenv.lock.target import environment_marker
from gpuenv.model.wheel import SourceKind, Wheel
from gpuenv.net.location import public

_OPENING, _CLOSING = "# /// gpuenv", "# ///"
_HASHED = re.compile(r"^(?P<requirement>[A-Za-z0-9][^\\\n]*?) \\\n +--hash=sha256:(?P<sha256>\S+)$", re.MULTILINE)


def hashed_filename(name: str) -> str:
    """The file name of a lock in this form.

    >>> hashed_filename("blackwell")
    'hashed.blackwell.txt'
    """
    return lock_filename(name).replace("pylock.", "hashed.").replace(".toml", ".txt")


def is_hashed(text: str) -> bool:
    """Whether a requirements file is a lock in this form."""
    return f"\n{_OPENING}\n" in f"\n{text}"


def render_hashed(lock: Lock) -> str:
    """Write a lock without the places of its files. The same lock gives the same text; :func:`parse_hashed` reads it.

    Raises :class:`~gpuenv.errors.UsageError` for a lock that holds a wheel of a folder: no index has it.
    """
    local = [package.filename for package in lock.packages if package.path is not None]
    if local:
        raise UsageError(
            f"{local[0]} is a file of this machine: no index can be asked for it by its hash",
            hints=("Lock from indexes alone, with --index and --torch-index",),
        )
    bare = replace(lock, inputs=replace(lock.inputs, sources=(), family_hosts=None, package_hosts=None))
    files = {package.name: _file(package) for package in lock.packages}
    requires = {package.name: package.requires for package in lock.packages if package.requires}
    block = [
        *record(bare),
        *("[tool.gpuenv.files]", *toml.table(files), ""),
        *("[tool.gpuenv.requires]", *toml.table(requires)),
    ]
    marker = f"{environment_marker(lock.inputs.target)} and python_version == '{lock.inputs.target.python}'"
    lines = [
        f"# {toml.one_line(lock.command)}",
        "# pip install --no-deps --require-hashes -r this-file, or gpuenv create --lock this-file",
        _OPENING,
        *(f"# {line}".rstrip() for line in block),
        _CLOSING,
    ]
    for package in lock.packages:
        lines += [f"{package.name}=={package.version} ; {marker} \\", f"    --hash=sha256:{package.sha256}"]
    return "\n".join(lines) + "\n"


def _file(package: LockedPackage) -> toml.Entries:
    return {
        "name": package.filename,
        "needs": package.dependencies,
        "family": package.family or None,
        "source": package.source,
        "git": package.git,
    }


def parse_hashed(text: str, *, origin: str) -> Lock:
    """Read what :func:`render_hashed` wrote. Each wheel's ``path`` is its bare name: where it lies is not said.

    Raises :class:`~gpuenv.errors.ConfigurationError` naming file and key.
    """
    text = text.replace("\r\n", "\n")
    _, _, rest = f"\n{text}".partition(f"\n{_OPENING}\n")
    block, closed, below = rest.partition(f"\n{_CLOSING}\n")
    if not closed or any(line[:2] not in ("#", "# ") for line in block.splitlines()):
        raise ConfigurationError(f"{origin}: the block of gpuenv is not closed by a line {_CLOSING}")
    try:
        document = parse_toml("\n".join(line[2:] for line in block.splitlines()))
    except DocumentError as error:
        raise ConfigurationError(f"{origin}: the block of gpuenv is not TOML: {error}") from None
    ours = LockTable(origin, "", document).table("tool").table("gpuenv")
    command, inputs, decision = read_record(ours)
    files, requires = ours.table("files"), ours.table("requires")
    stated = _stated(below, origin)
    if stated.keys() != files.entries.keys():
        name = sorted(stated.keys() ^ files.entries.keys())[0]
        raise ConfigurationError(f"{origin}: {name} stands in the block or among the requirements, not in both")
    ours.end()
    try:
        packages = [
            _package(name, *stated[name], files.table(name), requires.texts(name), source=decision.source)
            for name in sorted(stated)
        ]
        requires.end()
        return Lock(command=command, inputs=inputs, decision=decision, packages=tuple(packages))
    except ValueError as error:
        raise ConfigurationError(f"{origin}: {error}") from None


def _stated(text: str, origin: str) -> dict[str, tuple[str, str]]:
    """Version and sha256 of each requirement, by name."""
    found: dict[str, tuple[str, str]] = {}
    for row in _HASHED.finditer(text):
        try:
            requirement = Requirement(row["requirement"])
        except InvalidRequirement as error:
            raise ConfigurationError(f"{origin}: {row['requirement']}: {error}") from None
        name = canonicalize_name(requirement.name)
        version = str(requirement.specifier).removeprefix("==")
        if name in found or str(requirement.specifier) != f"=={version}" or not is_sha256(row["sha256"]):
            raise ConfigurationError(f"{origin}: {name}: one exact version with one sha256 has to stand there, once")
        found[name] = (version, row["sha256"])
    left = [line for line in _HASHED.sub("", text).splitlines() if line.strip() and not line.startswith("#")]
    if left:
        raise ConfigurationError(f"{origin}: {left[0].strip()!r} is no version with a hash")
    return found


def _package(
    name: str, version: str, sha256: str, table: LockTable, requires: tuple[str, ...], *, source: SourceKind
) -> LockedPackage:
    filename = table.text("name")
    if filename_of(filename) != filename or not filename.endswith(".whl"):
        table.fail("name", f"is {filename!r}, not the bare name of a wheel")
    package = LockedPackage(
        name=name,
        version=version,
        filename=filename,
        path=filename,
        sha256=sha256,
        hash_origin="index",
        source=table.choice("source", get_args(SourceKind)),
        family=table.flag("family"),
        requires=requires,
        git=table.maybe_text("git"),
        dependencies=table.maybe_texts("needs"),
    )
    if package.family and package.source != source and not is_known_file(package, source=source):
        table.fail("source", f"is {package.source}, and torch's is {source}")
    table.end()
    return package


def placed(lock: Lock, rows: Mapping[str, Wheel], *, sources: Iterable[str], signed: Iterable[str] = ()) -> Lock:
    """The lock with each file where ``rows`` (one per name) say it lies: the same set, hash for hash.

    ``sources`` are the torch sources that were asked, ``signed`` the names whose address needs a query. Raises
    :class:`~gpuenv.errors.IntegrityError` for a row that is another file.
    """
    names = set(signed)
    packages = tuple(_placed(package, rows[package.name], signed=package.name in names) for package in lock.packages)
    inputs = replace(
        lock.inputs,
        sources=tuple(sources),
        family_hosts=hosts_of(packages, family=True),
        package_hosts=hosts_of(packages, family=False),
    )
    return replace(lock, inputs=inputs, packages=packages)


def _placed(package: LockedPackage, row: Wheel, *, signed: bool) -> LockedPackage:
    if row.filename != package.filename or row.sha256 not in (None, package.sha256):
        raise IntegrityError(
            f"{package.filename} is not the file that was locked",
            causes=(f"locked: sha256 {package.sha256}", f"listed: sha256 {row.sha256} at {public(row.url)}"),
            hints=("Compare with a second machine: one of the two, lock or index, was changed",),
        )
    found = package_of(
        row,
        sha256=package.sha256,
        hash_origin="index" if row.sha256 else "first-download",
        size=row.size,
        requires=package.requires,
        family=package.family,
        git=package.git,
    )
    return replace(found, dependencies=package.dependencies, signed=signed)
