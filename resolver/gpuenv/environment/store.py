"""A folder of wheels addressed by what they contain, so that a nightly that left its index can still be installed.

Layout: ``sha256/<first two digits>/<sha256>/<file name>``. A file is written aside and renamed, so what has a name is
whole. The folder may be shared: names never change their content, and who may read and write the store's own folder may
read and write what is below it, whatever the umask of the one who brought it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.errors import IntegrityError, NoSpaceError
from gpuenv.lock.codec import lock_filename, render, to_requirements
from gpuenv.lock.model import Lock, LockedPackage, is_sha256
from gpuenv.shell import quote
from gpuenv.system.files import FULL, write_atomic

_BLOCK = 1 << 20
_HOUR_SECONDS = 3600.0
_DAY_SECONDS = 24 * _HOUR_SECONDS

CARRIED = "store"
"""The folder of an export that its wheels lie in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWheel:
    """One file of a store."""

    filename: str
    sha256: str
    size: int
    path: Path

    @property
    def recent(self) -> bool:
        """Whether it came within the last hour."""
        with contextlib.suppress(OSError):
            return time.time() - self.path.stat().st_mtime < _HOUR_SECONDS
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """A file of a store that is not what its place says."""

    wheel: StoredWheel
    found: str
    """sha256 of what lies there."""

    def drop(self) -> None:
        """Remove the copy, with other names of the same file; who is reading it keeps it to the end."""
        for path in self.wheel.path.parent.glob("*.whl"):
            if sha256_of(path) != self.wheel.sha256:
                path.unlink(missing_ok=True)

    def error(self, *, profile: str) -> IntegrityError:
        """Make the error to raise where nothing else has the wheel and nothing may be fetched."""
        return IntegrityError(
            f"the store's copy of {self.wheel.filename} is damaged, and offline nothing can take its place",
            causes=(str(self.wheel.path), f"locked: sha256 {self.wheel.sha256}", f"found: sha256 {self.found}"),
            hints=(f"Fetch it again where there is a network: `gpuenv lock --keep --profile {quote(profile)}`",),
        )


@dataclass(frozen=True, slots=True)
class Store:
    """A store at ``folder``, which need not exist before the first wheel."""

    folder: Path

    def list(self) -> tuple[StoredWheel, ...]:
        """Every wheel, by file name."""
        return tuple(sorted(self._walk(), key=lambda wheel: (wheel.filename, wheel.sha256)))

    def get(self, sha256: str, filename: str) -> Path | None:
        """The file with this content and name, ``None`` where it is not kept. A copy under another name serves too:
        it gets this name beside it."""
        place = self._place(sha256)
        path = place / filename
        if path.is_file():
            return path
        twin = next((each for each in sorted(place.glob("*.whl")) if each.is_file()), None)
        if twin is None:
            return None
        _link(twin, path)
        return path

    def has(self, sha256: str) -> bool:
        """Whether a file with this content is kept, under whatever name. Writes nothing."""
        return any(each.is_file() for each in self._place(sha256).glob("*.whl"))

    def add(self, source: Path, *, filename: str, sha256: str, move: bool = False) -> Path:
        """Keep a file whose sha256 is known; it is checked while it is copied (a moved one was just hashed).

        Raises :class:`~gpuenv.errors.IntegrityError` where its content is another, :class:`~gpuenv.errors.NoSpaceError`
        where the disk is full.
        """
        _check_name(filename, sha256)
        kept = self.get(sha256, filename)
        if kept is not None:
            if move:
                source.unlink()
            return kept
        place = self._place(sha256)
        try:
            self.folder_for(place)
            if move:
                source.chmod(self.mode)
                source.replace(place / filename)
                return place / filename
            with _aside(place / filename) as aside:
                found = _copy(source, aside)
                if found != sha256:
                    raise IntegrityError(
                        f"{source} is not the wheel that was locked",
                        causes=(f"locked: sha256 {sha256}", f"found: sha256 {found}"),
                    )
                aside.chmod(self.mode)
        except OSError as error:
            raise no_space(error, place) from None
        return place / filename

    @property
    def mode(self) -> int:
        """The permissions of a file here: readable for whom the store's folder is, writable for who brought it."""
        return stat.S_IMODE(self.folder.stat().st_mode) & 0o444 | stat.S_IWUSR

    def folder_for(self, place: Path) -> Path:
        """Make a folder of the store with those above it, for whom the store's own folder is for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mode = stat.S_IMODE(self.folder.stat().st_mode)
        below = [each for each in (*reversed(place.parents), place) if self.folder in each.parents]
        for folder in below:
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                folder.chmod(mode)
        return place

    def missing(self, lock: Lock) -> tuple[LockedPackage, ...]:
        """Packages of a lock whose wheel is not kept."""
        return tuple(each for each in lock.packages if not self.has(each.sha256))

    def localized(self, lock: Lock, *, without: Collection[str] = ()) -> Lock:
        """The lock with every wheel that is kept taken from here, by path; the others stay where they are, and those
        whose sha256 is in ``without``."""

        def place(package: LockedPackage) -> LockedPackage:
            kept = None if package.sha256 in without else self.get(package.sha256, package.filename)
            return package if kept is None else replace(package, url=None, path=kept.absolute().as_posix())

        return replace(lock, packages=tuple(place(package) for package in lock.packages))

    def verify(self) -> tuple[Damage, ...]:
        """Hash every file and name those that are not what their place says. Nothing is removed."""
        return _unlike(self.list())

    def damaged(self, lock: Lock) -> tuple[Damage, ...]:
        """Hash the copies that a lock would be installed from, and name those that are not what was locked."""
        kept = [(each, self.get(each.sha256, each.filename)) for each in lock.packages]
        return _unlike(
            StoredWheel(filename=each.filename, sha256=each.sha256, size=path.stat().st_size, path=path)
            for each, path in kept
            if path is not None
        )

    def prune(self, keep: Collection[str], *, dry_run: bool = False) -> tuple[StoredWheel, ...]:
        """Remove every wheel whose sha256 is not in ``keep``, and say which."""
        gone = tuple(wheel for wheel in self.list() if wheel.sha256 not in keep)
        if not dry_run:
            for wheel in gone:
                wheel.path.unlink(missing_ok=True)
                for folder in (wheel.path.parent, wheel.path.parent.parent):
                    if folder.is_dir() and not any(folder.iterdir()):
                        folder.rmdir()
        return gone

    def leftovers(self) -> Iterator[Path]:
        """What killed processes left: copies that were not finished, and broken downloads that nobody has gone on with
        for a day, with their locks."""
        parts = (self.folder / "sha256").glob("??/*/.*.part")
        yield from (part for part in sorted(parts) if _old(part))
        for folder in sorted((self.folder / "partial").glob("*")):
            if all(_old(each) for each in (folder, *folder.glob("*"))):
                yield folder

    def sweep(self) -> None:
        """Remove what killed processes left."""
        for path in self.leftovers():
            discard(path)

    def export(self, lock: Lock, target: Path, *, name: str) -> Path:
        """Make a folder that carries a lock, its wheels and instructions to a machine without a network. The wheels lie
        there as in a store, so that gpuenv builds from them too (``--store store``).

        Returns the lock in it, whose wheels are named by relative paths: uv and pip install it from there.

        Raises :class:`~gpuenv.errors.IntegrityError` where a wheel is not kept or not what it should be.
        """
        lacking = self.missing(lock)
        if lacking:
            raise IntegrityError(
                f"the store {self.folder} does not hold {len(lacking)} of the lock's wheels",
                causes=[package.filename for package in lacking],
                hints=(f"Bring them: `gpuenv lock --keep --profile {quote(lock.inputs.profile)}`",),
            )
        moved: list[LockedPackage] = []
        try:
            for package in lock.packages:
                place = f"{CARRIED}/sha256/{package.sha256[:2]}/{package.sha256}/{package.filename}"
                (target / place).parent.mkdir(parents=True, exist_ok=True)
                kept = self.get(package.sha256, package.filename) or self._place(package.sha256) / package.filename
                with _aside(target / place) as aside:
                    found = _copy(kept, aside)
                if found != package.sha256:
                    raise IntegrityError(
                        f"{kept} is damaged",
                        causes=(f"found: sha256 {found}",),
                        hints=(f"Fetch it again: `gpuenv lock --keep --profile {quote(lock.inputs.profile)}`",),
                    )
                moved.append(replace(package, url=None, path=place))
            here = replace(lock, packages=tuple(moved))
            path = target / lock_filename(name)
            write_atomic(path, render(here), what="the lock")
            write_atomic(target / "requirements.txt", to_requirements(here), what="the requirements file")
            write_atomic(target / "README.md", _instructions(lock, path.name), what="the instructions")
        except OSError as error:
            raise no_space(error, target) from None
        return path

    def _place(self, sha256: str) -> Path:
        return self.folder / "sha256" / sha256[:2] / sha256

    def _walk(self) -> Iterator[StoredWheel]:
        for path in (self.folder / "sha256").glob("??/*/*.whl"):
            if is_sha256(path.parent.name) and path.is_file():
                yield StoredWheel(filename=path.name, sha256=path.parent.name, size=path.stat().st_size, path=path)


def discard(leftover: Path) -> None:
    """Remove one of a store's leftovers, unless another run has just gone on with it."""
    from filelock import FileLock, Timeout

    if not leftover.is_dir():
        leftover.unlink(missing_ok=True)
        return
    with contextlib.suppress(Timeout, OSError):
        with FileLock(leftover / "lock", timeout=0):
            shutil.rmtree(leftover, ignore_errors=os.name == "nt")  # where no open file is removed, the lock stays
        shutil.rmtree(leftover)


def _old(path: Path) -> bool:
    """Whether nobody has written to a file for a day."""
    with contextlib.suppress(OSError):
        return time.time() - path.lstat().st_mtime > _DAY_SECONDS
    return False


def _unlike(wheels: Iterable[StoredWheel]) -> tuple[Damage, ...]:
    found = ((wheel, sha256_of(wheel.path)) for wheel in wheels)
    return tuple(Damage(wheel=wheel, found=digest) for wheel, digest in found if digest != wheel.sha256)


def sha256_of(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def no_space(error: OSError, place: Path) -> Exception:
    """What to raise for an operating system's failure to write: ours for a full disk, else the error itself."""
    if error.errno in FULL:
        return NoSpaceError(
            f"there is no space left to keep wheels in {place}", hints=("Choose a larger disk: --store DIR",)
        )
    return error


def _check_name(filename: str, sha256: str) -> None:
    if not is_sha256(sha256):
        raise ValueError(f"not a sha256: {sha256!r}")
    if not filename.endswith(".whl") or filename.startswith(".") or set(filename) & set("/\\\0"):
        raise IntegrityError(f"not a wheel's file name: {filename!r}")


def _copy(source: Path, target: Path) -> str:
    """Copy, flush to the disk, and say what was copied."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while block := reader.read(_BLOCK):
            digest.update(block)
            writer.write(block)
        writer.flush()
        os.fsync(writer.fileno())
    return digest.hexdigest()


@contextlib.contextmanager
def _aside(place: Path) -> Iterator[Path]:
    """A name beside ``place`` that nobody can guess, whose file takes that place at the end: no link is followed.

    Process ids repeat where containers share a store, so the name holds none.
    """
    aside = place.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield aside
        aside.replace(place)
    finally:
        aside.unlink(missing_ok=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        pass
    except OSError:
        with _aside(target) as aside:
            shutil.copyfile(source, aside)


def _instructions(lock: Lock, filename: str) -> str:
    target, total = lock.inputs.target, sum(package.size or 0 for package in lock.packages)
    told = {"torch": lock.decision.torch, "count": len(lock.packages), "total": f"{total / 1e9:.2f}", "lock": filename}
    told["profile"] = lock.inputs.profile
    text = Path(__file__).with_name("store_readme.md").read_text("utf-8")
    return text.format(os=target.os, arch=target.arch, python=target.python, **told)
