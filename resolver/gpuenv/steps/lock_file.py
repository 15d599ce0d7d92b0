"""The file of a profile's lock: where it stands for a machine, reading and writing it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError, IntegrityError
from gpuenv.installed.marker import Marker
from gpuenv.lock import codec, hashed
from gpuenv.lock.fit import LockMismatch, fits_machine, other_platform
from gpuenv.lock.model import Lock, anchored, near
from gpuenv.model.machine import Machine
from gpuenv.steps.context import Context
from gpuenv.steps.machine import class_name
from gpuenv.system.files import present, read_bytes, read_text, require_inside, with_unix_ends, write_atomic

FOLDER = "lockfiles"


def lock_path(context: Context, profile: str) -> Path:
    """Where the lock of a profile stands, by name."""
    return context.project / FOLDER / codec.lock_filename(profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockFile:
    """Where a profile's lock for a machine stands, or would be written; ``lock`` is ``None`` where none does."""

    path: Path
    lock: Lock | None
    foreign: Lock | None = None
    """The profile's own lock, where that is for another platform: it is somebody's work, and stays as it is."""
    mismatch: LockMismatch | None = None
    """Why it is not for this one."""


def find_lock(
    context: Context, profile: str, machine: Machine, *, read: Callable[[Path], Lock | None] | None = None
) -> LockFile:
    """The lock of a profile for a machine: the profile's own, else that of the machine's class (`lock --for`).

    A committed lock of another system, processor or C library does not keep a machine from having its own: the class's
    file serves there. One of the same platform that is for other GPUs or drivers gives way where that file stands
    already. Raises what ``read`` raises, :func:`read_lock` where none is given.
    """
    own, shared = lock_path(context, profile), lock_path(context, f"{profile}-{class_name(machine)}")
    if not own.is_file() and shared.is_file():
        own = shared

    def plainly(path: Path) -> Lock | None:
        return read_lock(path, shown=context.shown(path), profile=profile)

    read = read or plainly
    lock = read(own)
    mismatch = None
    if lock is not None and own != shared:
        beside = shared.is_file()
        mismatch = fits_machine(lock, machine, tables.load()) if beside else other_platform(lock, machine)
    if mismatch is None:
        return LockFile(path=own, lock=lock)
    return LockFile(path=shared, lock=read(shared), foreign=lock, mismatch=mismatch)


def place_of(context: Context, profile: str, machine: Machine) -> Path:
    """Where :func:`find_lock` looks, whatever is wrong with the file there."""

    def as_it_is(path: Path) -> Lock | None:
        with suppress(ConfigurationError, IntegrityError):
            return read_lock(path, shown=context.shown(path))
        return None

    return find_lock(context, profile, machine, read=as_it_is).path


def built_from(context: Context, profile: str, marker: Marker | None) -> Path:
    """Where the lock stands that an environment of a profile was built from: one of a class of machines bears another
    name than the profile. ``marker`` is the environment's."""
    path = lock_path(context, profile)
    if marker is not None and profile == marker.profile and (path.parent / marker.lock_name).is_file():
        return path.parent / marker.lock_name
    return path


def say_foreign(context: Context, found: LockFile, profile: str) -> None:
    """Say of a lock for another platform that it is left alone, and which one serves here."""
    if found.mismatch is not None:
        own, shown = context.shown(lock_path(context, profile)), context.shown(found.path)
        context.reporter.say(f"{own} {found.mismatch.sentence}: it stays as it is, this machine's is {shown}")


def read_lock(path: Path, *, shown: str, profile: str = "") -> Lock | None:
    """Read a lock that may not exist; ``shown`` is its name in error messages. One of hashed requirements says of no
    file where it lies.

    ``profile`` is whose lock it is, where that is known: then the error names the command that makes it again.
    """
    if not present(path):
        return None
    text = ""
    try:
        text = read_text(path, what="the lock", shown=shown)
        if hashed.is_hashed(text):
            return hashed.parse_hashed(text, origin=shown)
        lock = codec.parse(text, origin=shown)
    except (ConfigurationError, IntegrityError) as error:
        again = f"Make it again, without what stands there: `gpuenv lock --profile {profile} --upgrade`"
        hints = (again,) if profile and path.is_file() else ()
        if " --hash=sha256:" in text and not hashed.is_hashed(
            text
        ):  # as `gpuenv lock --format requirements` writes, for pip
            hints = ("Requirements hold no decision; write a set that does: `gpuenv lock --format hashed`",)
        raise type(error)(error.message, causes=error.causes, hints=(*error.hints, *hints)) from error
    return anchored(lock, PurePosixPath(path.parent.absolute().as_posix()))


def write_lock(path: Path, lock: Lock) -> bool:
    """Write a lock in one step, wheels inside the project by relative path; ``False`` where nothing changes."""
    require_inside(path.parent, path.parent.parent, what="the folder of the locks")
    folder = PurePosixPath(path.parent.absolute().as_posix())
    text = codec.render(near(lock, folder, project=folder.parent))
    if path.is_file() and with_unix_ends(read_bytes(path, what="the lock")) == text.encode():
        return False
    write_atomic(path, text, what="the lock")
    return True
