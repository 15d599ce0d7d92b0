"""The comparison of an installed tree with what the wheels say of themselves.

uv links files out of its cache without looking at them, installs a wheel whose files differ from its RECORD, and lets
a wheel overwrite ``pyvenv.cfg`` (research: reliability, findings 4 and 8, and 1.4). So every file must be one that the
bare environment had, unchanged, or one that a RECORD lists, with its size; hashes are compared for files that were
changed after their wheel was unpacked, and for all of them on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpuenv.environment.tree import Distribution, Entry, Row, distributions, sha256_of, site_packages, walk

Kind = Literal[
    "missing", "size", "hash", "unlisted", "startup", "overwritten", "outside", "broken", "link", "set", "record"
]

STARTUP = frozenset({"sitecustomize.py", "usercustomize.py", "sitecustomize", "usercustomize"})
"""Run at every start of the interpreter, before anything that could check them."""

KNOWN = frozenset({"distutils-precedence.pth", "_virtualenv.pth", "_virtualenv.py"})
"""Files beside the packages that the makers of environments put there themselves, without listing them."""

LATER_SECONDS = 2.0
"""A file changed this much later than its wheel's metadata was unpacked is hashed: somebody edited it in the cache."""

_HASH_THREADS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way an installed tree is not what its wheels say. ``path`` is relative to the environment."""

    kind: Kind
    package: str
    """Normalized name; empty where no package owns the file."""
    path: str
    detail: str

    def __str__(self) -> str:
        owner = f"{self.package}: " if self.package else ""
        return f"{owner}{self.path}: {self.detail}" if self.path else f"{owner}{self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """An environment before anything was installed: its files, and the bytes of the small ones."""

    entries: Mapping[str, Entry]
    bodies: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The outcome. ``notes`` are things that are allowed and worth knowing: code that runs at start, shared files."""

    differences: tuple[Difference, ...]
    distributions: tuple[Distribution, ...]
    notes: tuple[str, ...]
    files: int
    hashed: int


def look_at_bare(environment: Path) -> Bare:
    """Remember an environment that uv has just made."""
    entries = walk(environment)
    bodies = {path: (environment / path).read_bytes() for path, entry in entries.items() if entry.link is None}
    return Bare(entries=entries, bodies=bodies)


def compare(
    environment: Path,
    *,
    expected: Mapping[str, str],
    bare: Bare | None = None,
    full: bool = False,
    compiled: bool = False,
    ours: frozenset[str] = frozenset(),
) -> Compared:
    """Compare an environment with the RECORDs in it and with the set of packages it should hold.

    ``expected`` maps normalized names to versions. ``bare`` is the environment before the installation; without it the
    files of the environment itself are not judged. ``full`` hashes every file (5.5 GB: 6 s). ``compiled`` allows
    bytecode beside its source, as every import leaves it; ``ours`` names files of gpuenv's own.
    """
    site = site_packages(environment)
    if site is None:
        return _nothing("broken", "it has no site-packages folder")
    entries = walk(environment)
    found = distributions(environment, site)
    differences = [*_set_differences(found, expected), *_broken(found)]
    owners, shared = _owners(found)
    prefix = site.relative_to(environment).as_posix() + "/"
    notes = [*_differing_owners(shared), *_unhashed(found)]
    doubtful: list[tuple[str, Distribution, Row]] = []
    for path, (dist, row) in owners.items():
        difference = _listed_difference(entries.get(path), path, dist, row, sized=path not in shared)
        if difference is not None:
            differences.append(difference)
        elif row.sha256 is not None and path not in shared and (full or _later(entries, path, dist)):
            doubtful.append((path, dist, row))
        if _runs_at_start(path, prefix):
            differences += _startup(environment, path, dist.name, notes)
    differences += _hash_differences(environment, doubtful)
    left = {path: entry for path, entry in entries.items() if path not in owners and path not in ours}
    differences += _unlisted(
        environment, left, bare=bare, prefix=prefix, owners=owners.keys(), compiled=compiled, notes=notes
    )
    return Compared(
        differences=tuple(sorted(differences, key=lambda each: (each.package, each.path, each.kind))),
        distributions=found,
        notes=tuple(notes),
        files=len(entries),
        hashed=len(doubtful),
    )


def _broken(found: Iterable[Distribution]) -> Iterable[Difference]:
    for each in found:
        if each.problem:
            yield Difference(kind="broken", package=each.name, path=each.info, detail=each.problem)


def _differing_owners(shared: Mapping[str, list[str]]) -> Iterable[str]:
    for path, names in sorted(shared.items()):
        yield f"{path} is listed by {' and '.join(names)} with different contents"


def _unhashed(found: Iterable[Distribution]) -> Iterable[str]:
    """Name wheels whose RECORD leaves files out; uv adds a row without a hash for each (seen in 0.13.9)."""
    for dist in found:
        bare = [row.path for row in dist.rows if row.sha256 is None and not row.path.endswith((".pyc", "/RECORD"))]
        if bare:
            more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
            yield f"the RECORD of {dist.name} has no hash for {bare[0]}{more}: only sizes were compared"


def _set_differences(found: Iterable[Distribution], expected: Mapping[str, str]) -> Iterable[Difference]:
    have: dict[str, str] = {}
    for each in found:
        if each.name in have:
            yield Difference(kind="set", package=each.name, path=each.info, detail="it is installed twice")
        have[each.name] = each.version
    for name in sorted(have.keys() | expected.keys()):
        wanted, seen = expected.get(name), have.get(name)
        if wanted is None:
            yield Difference(kind="set", package=name, path="", detail=f"{seen} is installed and not locked")
        elif seen is None:
            yield Difference(kind="set", package=name, path="", detail=f"{wanted} is locked and not installed")
        elif not _same_version(seen, wanted):
            yield Difference(kind="set", package=name, path="", detail=f"{seen} is installed, {wanted} is locked")


def _same_version(one: str, other: str) -> bool:
    from packaging.version import InvalidVersion, Version

    if one == other:
        return True
    try:
        return Version(one.replace("_", "+")) == Version(other)
    except InvalidVersion:
        return False


def _owners(found: Iterable[Distribution]) -> tuple[dict[str, tuple[Distribution, Row]], dict[str, list[str]]]:
    """Which distribution lists which file; and the files that several list with different contents."""
    owners: dict[str, tuple[Distribution, Row]] = {}
    shared: dict[str, list[str]] = {}
    for dist in found:
        for row in dist.rows:
            first = owners.setdefault(row.path, (dist, row))
            if first[1] is not row and (first[1].sha256, first[1].size) != (row.sha256, row.size):
                shared.setdefault(row.path, [first[0].name]).append(dist.name)
    return owners, shared


def _listed_difference(
    entry: Entry | None, path: str, dist: Distribution, row: Row, *, sized: bool
) -> Difference | None:
    def differs(kind: Kind, detail: str) -> Difference:
        return Difference(kind=kind, package=dist.name, path=path, detail=detail)

    if path.startswith(("../", "/")) or path == "..":
        return differs("outside", "it is listed outside of the environment")
    if entry is None:
        return differs("missing", "it is listed and not there")
    if entry.link is not None:
        return differs("link", f"it is a link to {entry.link}; wheels hold none")
    if sized and row.size is not None and row.size != entry.size:
        return differs("size", f"{entry.size} bytes, {row.size} are listed")
    return None


def _later(entries: Mapping[str, Entry], path: str, dist: Distribution) -> bool:
    """Whether a file changed after its wheel was unpacked, as an edit through a hard link into uv's cache leaves it."""
    unpacked = entries.get(f"{dist.info}/WHEEL")
    own = path.startswith(f"{dist.info}/") or "/site-packages/" not in path  # written at installation: always later
    return unpacked is not None and not own and entries[path].mtime > unpacked.mtime + LATER_SECONDS


def _hash_differences(environment: Path, files: list[tuple[str, Distribution, Row]]) -> Iterable[Difference]:
    if not files:
        return
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        seen = pool.map(lambda each: sha256_of(environment / each[0]), files)
        for (path, dist, row), digest in zip(files, seen, strict=True):
            if digest != row.sha256:
                yield Difference(
                    kind="hash", package=dist.name, path=path, detail="its contents are not those of the wheel"
                )


def _runs_at_start(path: str, prefix: str) -> bool:
    """Whether a file may run at every start of the interpreter: customize modules, and ``.pth`` files of the top."""
    name = path[len(prefix) :] if path.startswith(prefix) else ""
    top, slash, rest = name.partition("/")
    return bool(name) and (
        (not slash and (top.endswith(".pth") or top in STARTUP or top.partition(".")[0] in STARTUP))
        or (top in STARTUP and rest == "__init__.py")
    )


def _startup(environment: Path, path: str, package: str, notes: list[str]) -> Iterable[Difference]:
    """Judge a file that runs at start: customize modules never pass, a ``.pth`` with code does if a wheel lists it."""
    name = path.rsplit("/", 1)[-1]
    if not name.endswith(".pth"):
        yield Difference(kind="startup", package=package, path=path, detail="it runs at every start of the interpreter")
        return
    if not package and name not in KNOWN:
        yield Difference(kind="startup", package="", path=path, detail="no wheel lists it, and it acts at every start")
    elif _has_code(environment / path):
        notes.append(f"{path} of {package or 'the environment'} runs code at every start of the interpreter")


def _has_code(path: Path) -> bool:
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return False
    return any(line.startswith((b"import ", b"import\t")) for line in lines)


def _unlisted(
    environment: Path,
    left: Mapping[str, Entry],
    *,
    bare: Bare | None,
    prefix: str,
    owners: Iterable[str],
    compiled: bool,
    notes: list[str],
) -> Iterable[Difference]:
    """Judge files that no RECORD lists, and files of the bare environment that are no longer what they were."""
    for path, entry in left.items():
        if bare is not None and path in bare.entries:
            yield from _bare_difference(environment, path, entry, bare)
        elif _runs_at_start(path, prefix):
            yield from _startup(environment, path, "", notes)
        elif path == ".lock" or (bare is None and (not path.startswith(prefix) or path[len(prefix) :] in KNOWN)):
            continue
        elif not (compiled and "/__pycache__/" in path):
            yield Difference(kind="unlisted", package="", path=path, detail="no wheel of the lock lists it")
    if bare is not None:
        listed = set(owners)
        for path in bare.entries:
            if path in listed:
                yield Difference(
                    kind="overwritten", package="", path=path, detail="a wheel lists a file of the environment"
                )
            elif path not in left:
                yield Difference(kind="overwritten", package="", path=path, detail="it is gone from the environment")


def _bare_difference(environment: Path, path: str, entry: Entry, bare: Bare) -> Iterable[Difference]:
    before = bare.entries[path]
    same = before.link == entry.link and (
        before.link is not None
        or (before.size == entry.size and (environment / path).read_bytes() == bare.bodies.get(path))
    )
    if not same:
        yield Difference(kind="overwritten", package="", path=path, detail="it is not what the bare environment had")


def _nothing(kind: Kind, detail: str) -> Compared:
    return Compared(
        differences=(Difference(kind=kind, package="", path="", detail=detail),),
        distributions=(),
        notes=(),
        files=0,
        hashed=0,
    )
