"""Reads and writes files: whole, bounded, and with one error that names the file and what is wrong with it.

Scratch folders in the system's temporary folder are removed at the end, or by a later run where the process was killed.

text = read_text(path, what="the lock")            # FileError: "pylock.a.toml: the lock cannot be read"
write_atomic(path, text, what="the lock")          # the old content or the new one, never a part, never elsewhere
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpuenv.errors import FileError, GpuenvError, MachineError, NoSpaceError
from gpuenv.shell import quote

LARGEST = 64 << 20
"""Bytes of the largest file that is read whole. A lock of 300 packages has 0.5 MB."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, and what they say; UTF-32's begins as UTF-16's does."""

_YOUNG_SECONDS = 3600.0
"""A file beside another that was written less than this ago may still be at work, a folder not have its lock yet."""

_PATIENCE_SECONDS = 2.0
_LONGEST_PATH = 260
"""MAX_PATH of Windows, which holds where long paths are not switched on."""
_JUNCTION = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", 0xA0000003)
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""What an operating system says of a full disk, and of a quota that is used up."""
IN_USE = frozenset({32, 33})
"""ERROR_SHARING_VIOLATION and ERROR_LOCK_VIOLATION of winerror.h."""
_OPEN = "another program has it open"
_READ_ONLY = "it may only be read"
_ROOM = "Make room, and run the same again"
_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.EISDIR: "it is a folder",
    errno.ENOTDIR: "a part of its path is a file, not a folder",
    errno.EEXIST: "something else stands there",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ELOOP: "its links lead in a circle",
    errno.ENAMETOOLONG: "its name is too long",
}


def read_bytes(path: Path, *, what: str, shown: str | None = None, most: int = LARGEST) -> bytes:
    """Read a regular file whole; ``what`` (``the lock``) and ``shown`` are its names in the error.

    Never waits: a pipe, a device or a folder is refused, as is a file of more than ``most`` bytes. Raises
    :class:`~gpuenv.errors.FileError`.
    """
    with _errors(path, f"{what} cannot be read", shown):
        with open(path, "rb", opener=_open) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ValueError("it is a pipe or a device, not a file")
            body = file.read(most + 1)
        if len(body) > most:
            raise ValueError(f"it has more than {most:,} bytes")
    return body


def read_text(path: Path, *, what: str, shown: str | None = None, most: int = LARGEST) -> str:
    """Read a regular file of text (:func:`decoded`), line ends as ``\\n``; see :func:`read_bytes`."""
    body = read_bytes(path, what=what, shown=shown, most=most)
    with _errors(path, f"{what} cannot be read", shown):
        return decoded(body).replace("\r\n", "\n")


def decoded(body: bytes) -> str:
    """The text of a file: UTF-8, or what a byte order mark says, which is left out. What ``>`` of Windows PowerShell
    writes is UTF-16, what an old Notepad saves has a mark. Raises UnicodeDecodeError."""
    mark, encoding = _encoding(body)
    return body[len(mark) :].decode(encoding)


def with_unix_ends(body: bytes) -> bytes:
    """A file of ours with the line ends it was written with: git may have checked it out with those of Windows."""
    return body.replace(b"\r\n", b"\n")


def _encoding(body: bytes) -> tuple[bytes, str]:
    return next(((mark, name) for mark, name in _MARKS if body.startswith(mark)), (b"", "utf-8"))


def present(path: Path) -> bool:
    """Say whether anything stands at ``path``, of whatever kind: only where nothing does is a file "not there"."""
    try:
        return os.path.lexists(path)
    except ValueError:  # a NUL byte: reading it says so
        return True


def write_atomic(path: Path, content: str | bytes, *, what: str, mode: int | None = None, durable: bool = True) -> None:
    """Put ``content`` at ``path`` in one step, on the disk when this returns; makes the folders above.

    ``durable`` is for those alone who bring the whole file system to the disk before the file counts: each file that
    is waited for costs a turn of the disk or two.

    The new file is made beside it under a name that nobody can guess, so that no link laid out in advance is followed,
    and takes its place by rename: a link at ``path`` itself is replaced, its target left alone. The permissions of a
    file that stood there stay, unless ``mode`` is given. Raises :class:`~gpuenv.errors.FileError`, or
    :class:`~gpuenv.errors.NoSpaceError`, with everything as it was.
    """
    sweep_beside(path)
    with _errors(path, f"{what} cannot be written", None):
        body = content.encode("utf-8") if isinstance(content, str) else content
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = _mode(path) if mode is None else mode
        beside = path.with_name(f"{_beside(path)}{os.urandom(8).hex()}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _NO_WAIT, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                if kept is not None and hasattr(os, "fchmod"):
                    os.fchmod(handle, kept)
                file.write(body)
                file.flush()
                if durable:
                    os.fsync(handle)
            move(beside, path)
        except BaseException:
            _unlink(beside)
            raise
    if durable:
        sync_folder(path.parent)


def write_edited(path: Path, text: str, *, what: str, durable: bool = True) -> None:
    """Put ``text``, as :func:`read_text` gave it and somebody changed it, in the place of a file of a person's.

    Encoding and byte order mark stay, and each line that was there keeps its end (an editor of Windows writes
    ``\\r\\n``); a new one gets that of most. Raises what :func:`write_atomic` raises.
    """
    before = read_bytes(path, what=what) if present(path) else b""
    with _errors(path, f"{what} cannot be written", None):
        mark, encoding = _encoding(before)
        body = mark + _with_ends(before[len(mark) :].decode(encoding), text).encode(encoding)
    write_atomic(path, body, what=what, durable=durable)


def _with_ends(before: str, text: str) -> str:
    returns = before.count("\r\n")
    if not returns:
        return text
    if returns == before.count("\n"):  # as nearly every file is: the matcher takes the square of its lines
        return text.replace("\n", "\r\n")
    from difflib import SequenceMatcher

    usual = "\r" if 2 * returns >= before.count("\n") else ""
    old, new = before.split("\n"), text.split("\n")
    bare = [line.removesuffix("\r") for line in old[:-1]] + old[-1:]
    ended = [line + usual for line in new[:-1]] + new[-1:]
    for kind, start, end, first, _ in SequenceMatcher(None, bare, new, autojunk=False).get_opcodes():
        if kind == "equal":
            for place in range(end - start):
                if start + place < len(old) - 1 and first + place < len(new) - 1:
                    ended[first + place] = old[start + place]
    return "\n".join(ended)


def move(source: Path, target: Path) -> None:
    """Rename, in the place of a file that stands there. On Windows, where whoever has a file open is in the way (a scan
    for viruses, an index of files, another gpuenv that reads), it is tried for two seconds."""
    until = time.monotonic() + (_PATIENCE_SECONDS if os.name == "nt" else 0)
    while True:
        try:
            source.replace(target)
            return
        except PermissionError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.05)


def is_link(path: Path) -> bool:
    """Whether something leads elsewhere: a symbolic link, or a junction of Windows, which is none to the system."""
    try:
        facts = path.lstat()
    except (OSError, ValueError):
        return False
    return stat.S_ISLNK(facts.st_mode) or getattr(facts, "st_reparse_tag", 0) == _JUNCTION


def sweep_beside(path: Path) -> None:
    """Remove what killed writers of ``path`` left beside it: new content that never took its name."""
    with contextlib.suppress(OSError, ValueError):
        for each in path.parent.iterdir():
            rest = each.name.removeprefix(_beside(path))
            if rest != each.name and len(rest) == 16 and time.time() - each.lstat().st_mtime > _YOUNG_SECONDS:
                _unlink(each)


def _unlink(path: Path) -> None:
    """Remove a file of ours. Windows removes none that may only be read, as one beside such a file may only be."""
    if os.name == "nt":
        with contextlib.suppress(OSError):
            path.chmod(stat.S_IREAD | stat.S_IWRITE)
    path.unlink(missing_ok=True)


def _beside(path: Path) -> str:
    return f".{path.name[:100]}."


def require_writable(folder: Path, *, what: str) -> None:
    """Refuse a folder that nothing could be written into, before any work is done for it. Makes nothing.

    Raises :class:`~gpuenv.errors.FileError`.
    """
    with _errors(folder, f"{what} cannot be written", None):
        there = next((each for each in (folder, *folder.parents) if os.path.lexists(each)), folder)
        if not there.is_dir():
            raise NotADirectoryError(errno.EEXIST, "", str(there))
        if not os.access(there, os.W_OK | os.X_OK):
            read_only = hasattr(os, "statvfs") and os.statvfs(there).f_flag & os.ST_RDONLY
            raise PermissionError(errno.EROFS if read_only else errno.EACCES, "", str(there))


def require_inside(folder: Path, project: Path, *, what: str) -> None:
    """Refuse a folder of the project that a link leads out of it: a cloned project would choose what is overwritten.

    Raises :class:`~gpuenv.errors.FileError`. What a person names on the command line is theirs, and not asked about.
    """
    if Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(project)):
        return
    parts = [each for each in (*reversed(folder.parents), folder) if project in each.parents]
    link = next((each for each in parts if is_link(each)), folder)
    shown = quote(str(link.relative_to(project)))
    raise FileError(
        f"{folder}: {what} cannot be written",
        causes=(f"{link} is a link that leads out of the project, to {os.path.realpath(link)}",),
        hints=(f"Remove the link: `rm {shown}`",),
    )


def sync_folder(path: Path) -> None:
    """Bring the names in a folder to the disk, where the file system can."""
    with contextlib.suppress(OSError):  # Windows opens no folders
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def file_error(error: OSError | ValueError, path: Path, message: str, *, shown: str | None = None) -> GpuenvError:
    """Make the error to raise for what the system said of ``path``; ``message`` says what could not be done."""
    place = shown or str(path)
    if isinstance(error, OSError) and error.errno in FULL:
        return NoSpaceError(f"{place}: {message}: there is no space left on the device", hints=(_ROOM,))
    return FileError(f"{place}: {message}", causes=(_reason(error, path),), hints=_hints(error, path))


def system_error(error: OSError) -> GpuenvError:
    """Make the error to raise where the system refused something that nobody expected it to."""
    if isinstance(error.filename, (str, bytes)) and error.filename:
        return file_error(error, Path(os.fsdecode(error.filename)), "cannot be used")
    if error.errno in FULL:
        return NoSpaceError("there is no space left on the device", hints=(_ROOM,))
    return MachineError(f"the system refused: {error.strerror or error}")


def _open(path: str, flags: int) -> int:
    """Without O_NONBLOCK the opening of a pipe waits for a writer, for ever."""
    return os.open(path, flags | _NO_WAIT)


def _reason(error: OSError | ValueError, path: Path) -> str:
    if not isinstance(error, OSError):
        if isinstance(error, UnicodeDecodeError):
            return (
                f"it is not {error.encoding.upper()[:6]} text: byte {error.object[error.start]:#04x} at {error.start}"
            )
        return "a path cannot hold a NUL byte" if "null " in str(error) else str(error)
    number = _number(error, path)
    reason = _REASONS.get(number) or error.strerror or type(error).__name__
    if getattr(error, "winerror", None) in IN_USE:
        reason = _OPEN
    elif os.name == "nt" and number == errno.EACCES and path.is_file():  # a file in use is "access denied", too
        reason = _READ_ONLY if _is_read_only(path) else f"{reason}, or {_OPEN}"
    above = error.filename if isinstance(error.filename, str) and Path(error.filename) in path.parents else None
    return f"{above}: {reason}" if above else reason


def _number(error: OSError, path: Path) -> int:
    """What POSIX would say: Windows calls a folder "access denied", and a path that is too long "not found"."""
    if os.name == "nt":
        if error.errno == errno.EACCES and path.is_dir():
            return errno.EISDIR
        if error.errno == errno.ENOENT and (len(str(path)) >= _LONGEST_PATH or max(map(len, path.parts)) > 255):
            return errno.ENAMETOOLONG
    return error.errno or 0


def _hints(error: OSError | ValueError, path: Path) -> tuple[str, ...]:
    if not isinstance(error, OSError) or _number(error, path) not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ()
    if os.name == "nt" and _is_read_only(path):
        return (f"Let it be written: `attrib -R {quote(str(path))}`",)
    there = next((each for each in (path, *path.parents) if os.path.lexists(each)), path)
    return (f"See whose it is: `{'icacls' if os.name == 'nt' else 'ls -ld'} {quote(str(there))}`",)


def _is_read_only(path: Path) -> bool:
    """Whether a file has the attribute of Windows that keeps it from being written and removed."""
    mode = _mode(path)
    return mode is not None and not mode & stat.S_IWRITE


def _mode(path: Path) -> int | None:
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return None
    return stat.S_IMODE(found) if stat.S_ISREG(found) else None


@contextmanager
def _errors(path: Path, message: str, shown: str | None) -> Iterator[None]:
    try:
        yield
    # ValueError: a NUL byte in the path, or a character that no name on this system can have.
    except (OSError, ValueError) as error:
        raise file_error(error, path, message, shown=shown) from error


_PREFIX = "gpuenv-"


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """Make a folder that only we may enter, locked for as long as its process lives; remove it at the end."""
    sweep()
    import tempfile

    from gpuenv.system import holding

    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{purpose}-", ignore_cleanup_errors=True) as folder:
        handle = holding.take(Path(folder))
        try:
            yield Path(folder)
        finally:
            holding.release(handle)


def leftovers() -> Iterator[Path]:
    """What killed processes of this user left. Where the system has no locks on folders, nothing is known to be."""
    import tempfile

    from gpuenv.system import holding

    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*")):
        with contextlib.suppress(OSError):
            facts = folder.lstat()
            if _others(facts) or time.time() - facts.st_mtime < _YOUNG_SECONDS:
                continue
            handle = holding.take(folder)
            if not isinstance(handle, int):
                continue
            try:
                if sys.platform != "win32":
                    yield folder  # held while it is looked at or removed
            finally:
                holding.release(handle)
            if sys.platform == "win32":  # where what is held cannot be removed
                yield folder


def sweep() -> None:
    """Remove what killed processes of this user left."""
    import shutil

    for folder in leftovers():
        shutil.rmtree(folder, ignore_errors=True)


def _others(facts: os.stat_result) -> bool:
    """Whether a folder is another user's, or open to others. On Windows everybody has a temporary folder for theirs."""
    return hasattr(os, "geteuid") and (facts.st_uid != os.geteuid() or bool(facts.st_mode & 0o077))
