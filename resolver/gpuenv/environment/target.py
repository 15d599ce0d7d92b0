"""The folder an environment is built for: whose it is, whether it may be replaced, and the staging folder beside it.

Rules (research: reliability, 1.6 and 2.2): nothing that gpuenv did not make is ever replaced or deleted; the last
component is never a symbolic link; the staging folder lies on the same file system, is ours alone (mode 0700) and is
known to be alive by a lock that the kernel drops when its owner dies. A finished environment takes its place in one
step that a power cut cannot split: Linux can exchange two names atomically (``renameat2``); elsewhere the old one moves
aside first, and is put back by :func:`sweep` should we die between the two renames.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError, TargetError
from gpuenv.installed.marker import MARKER, read_marker
from gpuenv.report import Reporter
from gpuenv.shell import make_folders, quote
from gpuenv.system import holding
from gpuenv.system.files import is_link, move, sync_folder

STAGE_PREFIX = ".gpuenv-stage-"
ASIDE_PREFIX = ".gpuenv-old-"
_DEVICE = re.compile(r"(con|prn|aux|nul|(?:com|lpt)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE)
LOCK_POLL_SECONDS = 0.05
LINK_DAYS = 7
"""Days after which the name of a staging folder of another boot is a left-over: no build takes as long."""
LONGEST_START = 257
"""Characters of a folder that a program of Windows can start in, however long other names may be: MAX_PATH less the
separator and the NUL that end it (CreateProcessW, lpCurrentDirectory)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place for an environment. ``path`` is absolute, its parent free of links; ``exists`` tells whether an
    environment of ours stands there, to be replaced."""

    path: Path
    exists: bool

    @property
    def key(self) -> str:
        """What names the locks and staging folders of this place: one name for each, where case makes no difference."""
        return hashlib.sha256(os.fsencode(os.path.normcase(self.path))).hexdigest()[:16]


def check_target(path: Path) -> Target:
    """Look at the place an environment shall stand at.

    Raises :class:`~gpuenv.errors.TargetError` for anything that gpuenv must not replace: a file, a link, a folder or an
    environment that gpuenv did not build, and for a parent folder that others may write to. Changes nothing.
    """
    absolute = path.absolute()
    refuse_name(absolute.name, shown=path)
    parent = _real_parent(absolute)
    real = parent / absolute.name
    _check_parent(parent, shown=path)
    try:
        mode = real.lstat().st_mode
    except FileNotFoundError:
        return Target(path=real, exists=False)
    if is_link(real):
        aim = real.readlink()
        raise TargetError(
            f"{path} is a symbolic link to {aim}, and gpuenv replaces no links",
            hints=(
                f"Name the folder itself: `gpuenv create {quote(str(aim))}`",
                f"Or remove the link: `rm {quote(str(path))}`",
            ),
        )
    if not stat.S_ISDIR(mode):
        raise TargetError(
            f"{path} is a file, not an environment", hints=("Choose another folder: `gpuenv create OTHER`",)
        )
    if is_ours(real) or not any(real.iterdir()):
        return Target(path=real, exists=True)
    what = "an environment that gpuenv did not build" if (real / "pyvenv.cfg").is_file() else "not an environment"
    raise TargetError(
        f"{path} is {what}; it was left as it is",
        causes=(f"it holds no readable {MARKER}",),
        hints=(
            "Choose another folder: `gpuenv create OTHER`",
            f"Or move it away yourself: `mv {quote(str(path))} {quote(f'{path}.old')}`",
        ),
    )


def refuse_name(name: str, *, shown: Path, platform: str = sys.platform) -> None:
    """Refuse what Windows makes no folder of (Microsoft: "Naming Files, Paths, and Namespaces"): devices, with any
    ending, and a name that would lose its end."""
    if platform != "win32":
        return
    device = _DEVICE.fullmatch(name)
    if device or (name.endswith((".", " ")) and name != ".."):
        why = (
            f"Windows means a device by {device[1]}" if device else "Windows drops a dot or blank at the end of a name"
        )
        raise TargetError(
            f"{shown} cannot be an environment: {why}", hints=("Choose another folder: `gpuenv create OTHER`",)
        )


def is_ours(folder: Path) -> bool:
    """Whether a folder is an environment that gpuenv built: a marker alone does not make one."""
    try:
        return (folder / "pyvenv.cfg").is_file() and read_marker(folder) is not None
    except ConfigurationError:
        return False


def _real_parent(path: Path) -> Path:
    if path.name in ("", ".."):
        raise TargetError(f"{path} cannot be an environment", hints=("Name the folder itself: `gpuenv create FOLDER`",))
    try:
        parent = path.parent.resolve(strict=True)
    except FileNotFoundError:
        raise TargetError(
            f"the folder that {path.name} shall stand in does not exist: {path.parent}",
            hints=(f"Run `{make_folders(str(path.parent))}`",),
        ) from None
    except (OSError, RuntimeError) as error:
        raise TargetError(f"{path} cannot be reached", causes=(str(error),)) from None
    if not parent.is_dir():
        raise TargetError(f"{path} cannot be an environment: {path.parent} is not a folder")
    return parent


def _check_parent(parent: Path, *, shown: Path) -> None:
    if os.name == "posix":
        facts = parent.stat()
        others_write = bool(facts.st_mode & stat.S_IWOTH) and not facts.st_mode & stat.S_ISVTX
        if others_write and facts.st_uid != os.geteuid():
            raise TargetError(
                f"anyone may replace files in {parent}, and it is not yours: {shown} would not be safe there",
                hints=(
                    f"Close it to others: `chmod o-w {quote(str(parent))}`",
                    "Or choose a folder of your own: `gpuenv create FOLDER`",
                ),
            )
    if not os.access(parent, os.W_OK | os.X_OK):
        raise TargetError(
            f"no permission to write in {parent}", hints=("Choose a folder of your own: `gpuenv create FOLDER`",)
        )


@contextlib.contextmanager
def only_one(target: Target, *, state: Path, timeout: float, reporter: Reporter) -> Iterator[None]:
    """Hold the lock of a target for a whole build; a second build of the same place waits, and says so.

    The lock lies in ``state`` and is freed by the kernel when its holder dies. Raises
    :class:`~gpuenv.errors.TargetError` after ``timeout`` seconds.
    """
    from filelock import FileLock, Timeout

    folder = state / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{target.key}.lock"
    if is_link(path):
        path.unlink()  # not ours: what it leads to would be opened, and emptied
    lock = FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        reporter.say(f"another gpuenv is building {target.path}: waiting for it")
        try:
            lock.acquire(timeout=timeout, poll_interval=LOCK_POLL_SECONDS)
        except Timeout:
            raise TargetError(
                f"another gpuenv has been building {target.path} for {timeout:.0f} s",
                hints=("Wait for it, or end it, then run the same command again",),
            ) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def staging(target: Target) -> Iterator[Path]:
    """Make a folder beside the target that only we may enter, and remove it with all it holds at the end.

    It is held by a lock on the folder itself, so that :func:`sweep` of any process, in any container, knows whether its
    owner lives. The environment is built in a sub-folder, which has ordinary permissions.
    """
    name = f"{STAGE_PREFIX}{target.key}-{os.getpid()}-{boot_id()}-{secrets.token_hex(8)}"
    folder = target.path.parent / name
    if os.name == "nt" and (length := len(str(folder / target.path.name))) > LONGEST_START:
        raise TargetError(
            f"{target.path} is too deep for Windows: what is built for it stands in a folder beside it, whose "
            f"name would have {length} characters, and no program starts in one of more than {LONGEST_START}",
            hints=("Name a shorter place: `gpuenv create C:/gpu-env`",),
        )
    folder.mkdir(mode=0o700)
    try:
        with _held(folder):
            yield folder
    finally:
        remove_tree(folder)


@contextlib.contextmanager
def same_name(stage: Path, target: Target, *, state: Path) -> Iterator[Path]:
    """A name for the staging folder that each build of a target uses: a link in ``state``. Call under :func:`only_one`.

    uv remembers an interpreter by its path and by the file behind it; under a name that it has not seen it starts the
    interpreter, 0.05 s, and keeps what that says for good. Each boot of a machine has names of its own: hosts that
    share a home may not see each other's locks. Where links are not to be had, or for the privileged only (Windows),
    the folder's own name.
    """
    if os.name == "nt":
        yield stage
        return
    link = state / "stages" / f"{target.key}-{boot_id()}"
    try:
        link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for old in link.parent.glob(f"{target.key}-*"):  # of builds that were killed
            if old == link or time.time() - old.lstat().st_mtime > LINK_DAYS * 86_400:
                old.unlink(missing_ok=True)
        link.symlink_to(stage, target_is_directory=True)
    except OSError:
        yield stage
        return
    try:
        yield link
    finally:
        link.unlink(missing_ok=True)


def sweep(target: Target, reporter: Reporter) -> bool:
    """Remove what killed builds of this target left, and put back an environment that was moved aside by one.

    Call it under :func:`only_one`. Returns whether an environment was put back.
    """
    parent, restored = target.path.parent, False
    for aside in sorted(parent.glob(f"{ASIDE_PREFIX}{target.key}*")):
        if not os.path.lexists(target.path) and is_ours(aside):
            aside.rename(target.path)
            restored = True
            reporter.warn(f"an interrupted build had moved {target.path} aside: put back")
        else:
            remove_tree(aside)
    for stage in dead_stages(target.path.parent, target.key):
        reporter.detail(f"removing what a killed build left: {stage.name}")
        remove_tree(stage)
    return restored


def dead_stages(parent: Path, key: str = "*") -> tuple[Path, ...]:
    """The staging folders in a folder whose owner does not live any more, by name; ``key`` is that of one target."""
    return tuple(stage for stage in sorted(parent.glob(f"{STAGE_PREFIX}{key}-*")) if not _alive(stage))


def boot_id() -> str:
    """A short name of this boot of the machine; ``0`` where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return "0"


def remove_tree(folder: Path) -> None:
    """Delete a folder of ours, read-only parts too. What cannot be deleted is left for the next sweep, in silence."""

    def insist(function: object, name: str, error: object) -> None:
        # The folder's mode only: a file may be a hard link into uv's cache, and its mode is the cache's too.
        with contextlib.suppress(OSError):
            path = Path(name)
            path.parent.chmod(0o700)
            if path.is_dir() and not is_link(path):
                path.chmod(0o700)
            else:
                if os.name == "nt":  # which removes no file that may only be read
                    path.chmod(0o600)
                path.unlink()

    if is_link(folder):
        folder.unlink()
        return
    for _ in range(2):
        shutil.rmtree(folder, onerror=insist)
        if not os.path.lexists(folder):
            return


def _alive(stage: Path) -> bool:
    """Whether the owner of a staging folder lives: its lock cannot be taken; where locks do not work, its pid runs."""
    handle = holding.take(stage)
    holding.release(handle)
    if handle != "unknown":
        return handle == "held"
    pid, _, boot = stage.name.removeprefix(STAGE_PREFIX).partition("-")[2].partition("-")
    if os.name != "posix" or boot.partition("-")[0] != boot_id() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return int(pid) != os.getpid()


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    # Network file systems may know no locks on folders: there the pid in the name has to do.
    handle = holding.take(folder)
    try:
        yield
    finally:
        holding.release(handle)


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


def swap_in(built: Path, target: Target, *, exchange: bool = True, synced: bool = False) -> None:
    """Put ``built`` (on the same file system) at the target's place; a folder that stood there ends at ``built``'s.

    At every moment either the old or the new environment stands at the target, complete. ``exchange=False`` takes the
    way of systems without an atomic exchange. ``synced``: ``built`` is on the disk already. Raises ``OSError`` with
    everything as it was.
    """
    if not synced:
        sync_filesystem(built)
    if not os.path.lexists(target.path):
        move(built, target.path)
    elif not (exchange and _exchange(built, target.path)):
        _by_turns(built, target)
    sync_folder(target.path.parent)  # both names go to the disk together: a rename is one transaction


SYNCS_ALL = sys.platform != "win32"
"""Whether :func:`sync_filesystem` does anything: where it does, no file of a staged environment is waited for alone."""


def sync_filesystem(path: Path) -> None:
    """Bring everything written on the file system of ``path`` to the disk: uv syncs nothing. 15 ms, warm."""
    if not SYNCS_ALL:
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None or syncfs(handle) != 0:
            os.sync()
    finally:
        os.close(handle)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names at once; ``False`` where kernel or file system cannot."""
    if sys.platform != "linux":
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))


def _by_turns(built: Path, target: Target) -> None:
    aside = target.path.parent / f"{ASIDE_PREFIX}{target.key}-{os.getpid()}"
    move(target.path, aside)
    try:
        move(built, target.path)
    except BaseException:
        move(aside, target.path)
        raise
    move(aside, built)
