"""The comparison of an installed tree with what the wheels say of themselves.

uv links files out of its cache without looking at them, installs a wheel whose files differ from its RECORD, and lets
a wheel overwrite ``pyvenv.cfg`` (research: reliability, findings 4 and 8, and 1.4). So, when an environment has just
been built, every file must be one that the bare environment had, unchanged, or one that a RECORD lists, with its size.
In an environment that is used, byte code comes and goes, and sites replace data such as certificates: there code is
told from data. Hashes are compared for files that were changed after their wheel was unpacked, and for all on demand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import field
from pathlib import Path
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.installed import conda
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.environment import KNOWN, EnvironmentFacts
from gpuenv.installed.files import Bare, FolderEntry, RecordRow, followed, sha256_of, tree
from gpuenv.lock.diff import same_version

Kind = Literal[
    "missing", "size", "hash", "clash", "unlisted", "startup", "overwritten", "outside", "broken", "link", "set",
    "record",
]  # fmt: skip

CHANGED: tuple[Kind, ...] = ("missing", "size", "hash", "link", "record")
"""A listed file that is gone, or no longer what its wheel brought."""

LATER_SECONDS = 2.0
"""A file changed this much later than its wheel's metadata was unpacked is hashed: somebody edited it in the cache."""

_HASH_THREADS = 2
_CODE = (".py", ".so", ".pyd", ".dll", ".dylib", ".exe")
_NATIVE = (".so", ".pyd", ".dll", ".dylib")
_INSTALLERS_OWN = frozenset({"INSTALLER", "REQUESTED", "direct_url.json"})
"""What whoever installs a wheel last writes of itself: conda puts its name over pip's."""
_AROUND = frozenset({"tests", "test", "docs", "doc", "examples", "example", "scripts", "benchmarks"})
"""Top folders that many wheels bring by mistake, each with its own contents: nothing imports them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way an installed tree is not what its wheels say. ``path`` is relative to the environment."""

    kind: Kind
    package: str
    """Normalized name; empty where no package owns the file."""
    path: str
    detail: str
    code: bool = True
    """Whether it concerns code. Data may be a site's own (certificates), or left out to save room."""
    by: str = ""
    """The package that overwrote the file, for a clash."""

    def __str__(self) -> str:
        owner = f"{self.package}: " if self.package else ""
        return f"{owner}{self.path}: {self.detail}" if self.path else f"{owner}{self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The outcome. ``notes`` are things that are allowed and worth knowing: code that runs at start, shared files.

    ``files`` were compared by presence and size, ``hashed`` of them by hash too.
    """

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]
    files: int
    hashed: int

    @property
    def summary(self) -> str:
        """What was compared, as a person may believe it.

        >>> Compared(differences=(), notes=(), files=1200, hashed=3).summary
        'presence and size of 1,200 files, the hash of 3'
        """
        if self.hashed == self.files:
            return f"presence, size and hash of {self.files:,} files"
        return f"presence and size of {self.files:,} files" + (f", the hash of {self.hashed:,}" if self.hashed else "")


def compare(
    facts: EnvironmentFacts,
    *,
    expected: Mapping[str, str] | None = None,
    family: Collection[str] = (),
    bare: Bare | None = None,
    deep: bool = False,
) -> Compared:
    """Compare an environment with the RECORDs in it, and with the set of packages it should hold.

    ``expected`` maps normalized names to versions. With ``bare``, the environment before the installation, it is one
    that was just built: nothing may be there that no wheel lists, and no other package may bring a file of one of
    ``family`` with other contents. ``deep`` hashes every file (5.5 GB: 6 s).
    """
    if facts.site is None:
        problem = Difference(kind="broken", package="", path="", detail="it has no site-packages folder")
        return Compared(differences=(problem,), notes=(), files=0, hashed=0)
    owners, shared = _owners(facts.distributions)
    job = _Comparison(facts=facts, bare=bare, deep=deep, owners=owners)
    own = facts.marker.projects if facts.marker is not None else {}
    wanted = None if expected is None else {**expected, **own}
    job.differences += [*_set_differences(facts.distributions, wanted)]
    for path, several in sorted(shared.items()):
        names = " and ".join(dist.name for dist, _ in several)
        job.notes.append(f"{path} is listed by {names} with different contents")
    job.notes += _unhashed(facts.distributions)
    doubtful = list(job.listed(shared.keys()))
    job.differences += _hash_differences(facts.path, doubtful)
    if bare is None:
        job.differences += _clashes(facts.path, shared)
    else:
        job.differences += job.unlisted(bare)
        job.differences += _foreign(shared, family)
    job.differences += job.startup()
    return Compared(
        differences=tuple(sorted(job.differences, key=lambda each: (each.package, each.path, each.kind))),
        notes=tuple(job.notes),
        files=job.files,
        hashed=len(doubtful),
    )


def is_code(path: str, prefixes: Iterable[str]) -> bool:
    """Whether a file of a package is code: a module or library below a package folder.

    >>> is_code("lib/s/torch/lib/libc10.so.1", ["lib/s/"]), is_code("lib/s/certifi/cacert.pem", ["lib/s/"])
    (True, False)
    """
    name = path.rpartition("/")[2]
    return path.startswith(tuple(prefixes)) and (name.endswith(_CODE) or ".so." in name)


@dataclass(slots=True, kw_only=True)
class _Comparison:
    """One comparison in progress."""

    facts: EnvironmentFacts
    bare: Bare | None
    deep: bool
    owners: dict[str, tuple[Distribution, RecordRow]]
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plain: set[str] = field(default_factory=set)
    """Files that are as listed at one look: nearly all of 16,000."""
    entries: dict[str, FolderEntry] = field(default_factory=dict)
    """Everything else that is there."""
    prefixes: tuple[str, ...] = ()
    latest: dict[str, float] = field(default_factory=dict)
    """The latest time that a file of a wheel has where nobody changed it since, by its metadata folder."""
    files: int = 0
    """How many were compared."""
    rewritten: frozenset[str] | None = None
    """Files that conda rewrote for their place; read where one is needed: the records are megabytes."""

    def __post_init__(self) -> None:
        root = self.facts.path
        self.prefixes = tuple(f"{site.relative_to(root).as_posix()}/" for site in self.facts.sites)
        self.latest = {each.info: self._latest(each) for each in self.facts.distributions}
        for below in ("",) if self.bare is not None else tuple(prefix[:-1] for prefix in self.prefixes):
            self._look(root, below)

    def _look(self, root: Path, below: str) -> None:
        """Look at every file once: its presence, its size, and whether it changed since its wheel was unpacked."""
        owners, plain, latest, deep = self.owners, self.plain, self.latest, self.deep
        for path, there, link in tree(root, below=below):
            owner = owners.get(path)
            if owner is not None and link is None and not deep:
                dist, row = owner
                if there.st_size == row.size and there.st_mtime <= latest[dist.info]:
                    plain.add(path)
                    continue
            self.entries[path] = FolderEntry(there.st_size, there.st_mtime, link)

    def listed(self, shared: Iterable[str]) -> Iterator[tuple[str, Distribution, RecordRow]]:
        """Compare each listed file by presence and size; yields those whose hash has to be looked at too."""
        shared = set(shared)
        twice = {name for name, count in Counter(each.name for each in self.facts.distributions).items() if count > 1}
        for path, (dist, row) in self.owners.items():
            if self.bare is None and (dist.name in twice or _is_bytecode(path)):
                continue
            if path in self.plain:
                self.files += 1
                continue
            if self.bare is None and not self._is_ours(path):
                continue
            own = path.startswith(f"{dist.info}/") and path.rpartition("/")[2] in _INSTALLERS_OWN
            open_to_change = path in shared or (self.bare is None and own)
            self.files += 1
            entry = self.entry(path)
            difference = self._difference(entry, path, dist, row, sized=not open_to_change)
            if difference is not None:
                if difference.kind != "size" or not self._by_conda(path):
                    self.differences.append(difference)
                continue
            look = row.sha256 is not None and not open_to_change and (self.deep or self._later(entry, path, dist))
            if look and not self._by_conda(path):
                yield path, dist, row

    def _by_conda(self, path: str) -> bool:
        """Whether a file is not what RECORD says because it holds the prefix of this environment."""
        if self.bare is not None or self.facts.kind != "conda":
            return False
        if self.rewritten is None:
            self.rewritten = conda.rewritten(self.facts.path)
        return path in self.rewritten

    def _is_ours(self, path: str) -> bool:
        """Whether a listed file is the installer's to answer for: conda and systems rewrite scripts for their place."""
        if self.facts.kind in ("conda", "system"):
            return path.startswith(self.prefixes)
        return not path.startswith(("../", "/"))

    def entry(self, path: str) -> FolderEntry | None:
        """A file. In an environment that is used links are followed: uv can install links, and sites set them."""
        found = self.entries.get(path)
        if self.bare is None and (found is None or found.link is not None):
            return followed(self.facts.path / path)
        return found

    def _is_there(self, path: str) -> bool:
        return path in self.plain or path in self.entries

    def _difference(
        self, entry: FolderEntry | None, path: str, dist: Distribution, row: RecordRow, *, sized: bool
    ) -> Difference | None:
        def differs(kind: Kind, detail: str) -> Difference:
            code = self.bare is not None or is_code(path, self.prefixes)
            return Difference(kind=kind, package=dist.name, path=path, detail=detail, code=code)

        if path.startswith(("../", "/")) or path == "..":
            return differs("outside", "it is listed outside of the environment")
        if entry is None:
            return differs("missing", "it is listed and not there")
        if entry.link is not None:
            return differs("link", f"it is a link to {entry.link}")
        if sized and row.size is not None and entry.size != row.size:
            return differs("size", f"{entry.size} bytes, {row.size} are listed")
        return None

    def _later(self, entry: FolderEntry | None, path: str, dist: Distribution) -> bool:
        """Whether a file changed after its wheel was unpacked, as an edit through a hard link into uv's cache leaves
        it."""
        # Metadata and scripts are written at installation: always later.
        own = path.startswith(f"{dist.info}/") or not path.startswith(self.prefixes)
        return entry is not None and not own and entry.mtime > self.latest[dist.info]

    def _latest(self, dist: Distribution) -> float:
        unpacked = followed(self.facts.path / dist.info / "WHEEL")
        return float("inf") if unpacked is None else unpacked.mtime + LATER_SECONDS

    def unlisted(self, bare: Bare) -> Iterator[Difference]:
        """Examine files that no RECORD lists, and files of the bare environment that are no longer what they were."""
        acting = {f"{self.prefixes[0]}{each.path}" for each in self.facts.startup}
        for path, entry in self.entries.items():
            if path in bare.entries and path not in self.owners:
                yield from _bare_difference(self.facts.path, path, entry, bare)
            elif path not in self.owners and path != ".lock" and path not in acting:
                yield Difference(kind="unlisted", package="", path=path, detail="no wheel of the lock lists it")
        for path in bare.entries:
            owned = path in self.owners
            if owned or path not in self.entries:
                detail = "a wheel lists a file of the environment" if owned else "it is gone from the environment"
                yield Difference(kind="overwritten", package="", path=path, detail=detail)

    def startup(self) -> Iterator[Difference]:
        """Examine what runs at start: customize modules never pass, a ``.pth`` file does if a wheel lists it."""
        for each in self.facts.startup:
            path = next((p + each.path for p in self.prefixes if self._is_there(p + each.path)), each.path)
            if self.bare is not None and path in self.bare.entries:
                continue
            owner = self.owners[path][0].name if path in self.owners else ""
            if each.is_module:
                detail = "it runs at every start of the interpreter"
                yield Difference(kind="startup", package=owner, path=path, detail=detail)
            elif not owner and each.path not in KNOWN and self.facts.kind in ("gpuenv", "venv"):
                detail = "no wheel lists it, and it acts at every start"
                yield Difference(kind="startup", package="", path=path, detail=detail)
            elif each.runs:
                self.notes.append(f"{path} of {owner or 'the environment'} runs code at every start of the interpreter")


def _is_bytecode(path: str) -> bool:
    return path.endswith(".pyc") or "/__pycache__/" in path


def _clashes(environment: Path, shared: Mapping[str, list[tuple[Distribution, RecordRow]]]) -> Iterator[Difference]:
    """Name who overwrote whom: the file is what one of its owners lists, and not what the others do."""
    for path, owners in sorted(shared.items()):
        entry, digest = followed(environment / path), ""
        if entry is None:
            continue  # missing, which is said of its first owner
        if len({row.size for _, row in owners}) < len(owners):
            digest = sha256_of(environment / path)
        there = [dist for dist, row in owners if row.size == entry.size and digest in ("", row.sha256)]
        winner = there[0].name if there else ""
        for dist, _ in owners:
            if dist not in there:
                detail = f"{winner} overwrote it" if winner else "it is of none of the packages that list it"
                yield Difference(
                    kind="clash", package=dist.name, path=path, detail=detail, code=_matters(path, dist), by=winner
                )


def _foreign(
    shared: Mapping[str, list[tuple[Distribution, RecordRow]]], family: Collection[str]
) -> Iterator[Difference]:
    """Name packages that bring a file of torch's family: which of the two is installed is a matter of chance."""
    for path, owners in sorted(shared.items()):
        whose = next((dist.name for dist, _ in owners if dist.name in family), None)
        for dist, _ in owners if whose is not None else ():
            if dist.name not in family:
                yield Difference(
                    kind="clash", package=dist.name, path=path, detail=f"{whose} brings that file", by=str(whose)
                )


def _matters(path: str, dist: Distribution) -> bool:
    """Whether two packages with another content for one file break each other: code that is imported or loaded."""
    name = path.rpartition("/")[2]
    inside = path.removeprefix(dist.info.rpartition("/")[0] + "/")
    native = name.endswith(_NATIVE) or ".so." in name
    module = name.endswith(".py") and name != "__init__.py" and inside.partition("/")[0] not in _AROUND
    return native or (module and "/" in inside)


def _unhashed(found: Iterable[Distribution]) -> Iterator[str]:
    """Name wheels whose RECORD leaves files out; uv adds a row without a hash for each (seen in 0.13.9)."""
    for dist in found:
        bare = [row.path for row in dist.rows if row.sha256 is None and not row.path.endswith((".pyc", "/RECORD"))]
        if bare:
            more = f" and {len(bare) - 1} more" if len(bare) > 1 else ""
            yield f"the RECORD of {dist.name} has no hash for {bare[0]}{more}: only sizes were compared"


def _set_differences(found: Iterable[Distribution], expected: Mapping[str, str] | None) -> Iterator[Difference]:
    have: dict[str, str] = {}
    for each in found:
        if each.name in have:
            yield Difference(kind="set", package=each.name, path=each.info, detail="it is installed twice")
        if each.problem:
            yield Difference(kind="broken", package=each.name, path=each.info, detail=each.problem)
        have[each.name] = each.version
    if expected is None:
        return
    for name in sorted(have.keys() | expected.keys()):
        wanted, seen = expected.get(name), have.get(name)
        if wanted is None:
            yield Difference(kind="set", package=name, path="", detail=f"{seen} is installed and not locked")
        elif seen is None:
            yield Difference(kind="set", package=name, path="", detail=f"{wanted} is locked and not installed")
        elif not same_version(seen, wanted):
            yield Difference(kind="set", package=name, path="", detail=f"{seen} is installed, {wanted} is locked")


def _owners(
    found: Iterable[Distribution],
) -> tuple[dict[str, tuple[Distribution, RecordRow]], dict[str, list[tuple[Distribution, RecordRow]]]]:
    """Which distribution lists which file; and the files that several list with different contents."""
    owners: dict[str, tuple[Distribution, RecordRow]] = {}
    shared: dict[str, list[tuple[Distribution, RecordRow]]] = {}
    for dist in found:
        for row in dist.rows:
            first = owners.setdefault(row.path, (dist, row))
            differs = (first[1].sha256, first[1].size) != (row.sha256, row.size)
            if differs and dist.name != first[0].name:
                shared.setdefault(row.path, [first]).append((dist, row))
    return owners, shared


def _hash_differences(environment: Path, files: list[tuple[str, Distribution, RecordRow]]) -> Iterator[Difference]:
    if not files:
        return
    with ThreadPoolExecutor(_HASH_THREADS) as pool:
        seen = pool.map(lambda each: sha256_of(environment / each[0]), files)
        for (path, dist, row), digest in zip(files, seen, strict=True):
            if digest != row.sha256:
                prefix = dist.info.rpartition("/")[0] + "/"
                detail = "its contents are not those of the wheel"
                yield Difference(kind="hash", package=dist.name, path=path, detail=detail, code=is_code(path, [prefix]))


def _bare_difference(environment: Path, path: str, entry: FolderEntry, bare: Bare) -> Iterator[Difference]:
    before = bare.entries[path]
    same = before.link == entry.link and (
        before.link is not None
        or (before.size == entry.size and (environment / path).read_bytes() == bare.bodies.get(path))
    )
    if not same:
        yield Difference(kind="overwritten", package="", path=path, detail="it is not what the bare environment had")
