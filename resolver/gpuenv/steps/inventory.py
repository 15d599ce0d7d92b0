"""Everything gpuenv keeps: pages, facts, RECORDs, the store and who needs it, and what killed runs left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.environment.previous import FAILED, is_noted
from gpuenv.environment.roots import Root, roots
from gpuenv.environment.store import Store, StoredWheel, discard
from gpuenv.environment.target import dead_stages, remove_tree
from gpuenv.errors import GpuenvError
from gpuenv.steps.context import Context
from gpuenv.steps.downloads import open_store
from gpuenv.steps.lock_file import FOLDER, read_lock
from gpuenv.system.files import leftovers as scratch_leftovers
from gpuenv.system.files import read_bytes
from gpuenv.verify.evidence import FILES as EVIDENCE_FILES

Part = Literal["pages", "facts", "records", "store", "leftovers"]
PARTS: tuple[Part, ...] = ("pages", "facts", "records", "store", "leftovers")

_DIGEST = r"[0-9a-f]{64}"
_NAMES = {
    "pages": re.compile(rf"[0-9a-f]{{2}}/{_DIGEST}(?:\.form)?"),
    "facts": re.compile(rf"[0-9a-f]{{2}}/{_DIGEST}\.json|(?:pythons|uv)\.json"),
    "records": re.compile(_DIGEST),
}
_UNFINISHED = re.compile(r"\..+\.[0-9a-f]{16}")
"""The name of a file that was being written (``system/files.py``)."""
_YOUNG_SECONDS = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One kind of what is kept, and where."""

    part: Part
    folder: Path
    files: tuple[Path, ...]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that a run left which did not come to its end, or that has no use any more."""

    path: Path
    what: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The wheels of a store, and the locks that need them."""

    store: Store
    wheels: tuple[StoredWheel, ...]
    roots: tuple[Root, ...]
    named: frozenset[str]
    """sha256 that a lock of the project, or a registered one that stands as it was, names."""

    @property
    def unsure(self) -> tuple[Root, ...]:
        """Registered locks that are not found again as they were, and that alone name wheels which are here."""
        there = {wheel.sha256 for wheel in self.wheels}
        return tuple(
            root
            for root in self.roots
            if root.state == "unreadable" or (root.state != "there" and (root.wheels - self.named) & there)
        )

    def keep(self, *, forget: bool) -> frozenset[str]:
        """sha256 of what pruning leaves: named ones, new ones that no lock names yet, and what is unsure."""
        known = frozenset[str]().union(*(root.wheels for root in self.roots))
        # A lock that is being made right now has its wheels here before it can be registered.
        keep = self.named | {wheel.sha256 for wheel in self.wheels if wheel.sha256 not in known and wheel.recent}
        if forget:
            return keep
        if any(root.state == "unreadable" for root in self.unsure):
            keep |= {wheel.sha256 for wheel in self.wheels}
        return keep.union(*(root.wheels for root in self.unsure))


def shelf(context: Context) -> Shelf:
    """Look at the store, at every registered lock, and at those of the project."""
    store = open_store(context)
    registered = roots(store)
    named = _locked_hashes(context).union(*(root.now for root in registered))
    named = named.union(*(root.wheels for root in registered if root.state == "there"))
    return Shelf(store=store, wheels=store.list(), roots=registered, named=named)


def kept(context: Context) -> tuple[Kept, ...]:
    """Pages, facts, RECORDs and wheels. Only what has a name that gpuenv gives is counted, and no link is followed."""
    folders: dict[Part, Path] = {
        "pages": context.cache / "http",
        "facts": context.cache / "wheels",
        "records": context.state / "records",
    }
    found = [_kept(part, folder, tuple(_files(folder, _NAMES[part]))) for part, folder in folders.items()]
    store = open_store(context)
    wheels = store.list()
    total = sum(wheel.size for wheel in wheels)
    return (*found, Kept(part="store", folder=store.folder, files=tuple(wheel.path for wheel in wheels), bytes=total))


def leftovers(context: Context) -> Iterator[Leftover]:
    """What no run needs any more. Looking at it changes nothing."""
    for path in scratch_leftovers():
        yield _leftover(path, "a temporary folder of a run that was killed")
    for path in open_store(context).leftovers():
        yield _leftover(path, "a download that was not finished")
    for folder in (context.cache / "http", context.cache / "wheels", context.state, context.project / FOLDER):
        for path in _files(folder, re.compile(rf"(?:[^/]+/)*{_UNFINISHED.pattern}")):
            if _old(path):
                yield _leftover(path, "a file that was not finished")
    for path in dead_stages(context.project):
        if not any(is_noted(each) for each in path.iterdir()):  # the next build puts that one at its place
            yield _leftover(path, "an environment whose build was killed")
    for path in sorted((context.project / "evidence").glob(f"*{FAILED}")):
        if _is_overtaken(path):
            yield _leftover(path, "the evidence of a failure before the success beside it")


def remove(leftover: Leftover) -> None:
    """Remove what was left; of evidence only what gpuenv wrote."""
    path = leftover.path
    if path.suffix == FAILED and path.is_dir():
        for name in EVIDENCE_FILES:
            (path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something of the user's is in it
            path.rmdir()
    elif path.parent.name == "partial":
        discard(path)
    elif path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)


def _kept(part: Part, folder: Path, files: tuple[Path, ...]) -> Kept:
    return Kept(part=part, folder=folder, files=files, bytes=sum(map(_size, files)))


def _leftover(path: Path, what: str) -> Leftover:
    total = sum(_size(each) for each in path.rglob("*")) if path.is_dir() and not path.is_symlink() else _size(path)
    return Leftover(path=path, what=what, bytes=total)


def _files(folder: Path, names: re.Pattern[str]) -> Iterator[Path]:
    """Regular files below a folder whose path in it is one of ``names``, sorted; folders behind links are not looked
    into."""
    for place, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        for name in sorted(files):
            path = Path(place, name)
            if names.fullmatch(path.relative_to(folder).as_posix()) and path.is_file() and not path.is_symlink():
                yield path


def _size(path: Path) -> int:
    with contextlib.suppress(OSError):
        facts = path.lstat()
        return facts.st_size if not path.is_dir() else 0
    return 0


def _old(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return time.time() - path.lstat().st_mtime > _YOUNG_SECONDS
    return False


def _is_overtaken(failed: Path) -> bool:
    """Whether evidence of a failure is older than that of a success beside it, both as gpuenv writes them."""
    try:
        before, after = (
            json.loads(read_bytes(folder / "evidence.json", what="the evidence"))
            for folder in (failed, failed.with_suffix(""))
        )
        earlier = str(before["about"]["created"]) < str(after["about"]["created"])  # RFC 3339, UTC
        return bool(earlier and before["verdict"] == "failed" != after["verdict"])
    except (GpuenvError, ValueError, LookupError, TypeError, RecursionError):
        return False


def _locked_hashes(context: Context) -> frozenset[str]:
    hashes: set[str] = set()
    for path in sorted((context.project / FOLDER).glob("pylock.*.toml")):
        lock = read_lock(path, shown=path.name)
        hashes.update(package.sha256 for package in lock.packages) if lock is not None else None
    return frozenset(hashes)
