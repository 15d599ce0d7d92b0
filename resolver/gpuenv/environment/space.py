"""Room on the disks, asked before gigabytes are on their way, and what is said where a disk fails all the same."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.errors import NoSpaceError, TargetError
from gpuenv.report import Reporter
from gpuenv.shell import quote
from gpuenv.system.files import FULL, IN_USE

UNPACKED = 1.5
"""Unpacked bytes a byte of wheel, at least: 1.8 was seen for a whole CUDA environment, 3.6 for the CPU build of torch.
Too little rather than too much, so that nothing that would have fitted is refused."""

BYTES_A_FILE = 350_000
"""Unpacked bytes a file at most, over a whole environment (342,000 seen: 16,102 files in 5.51 GB)."""

_REFUSED = 5
"""ERROR_ACCESS_DENIED of winerror.h: what renaming a folder says where a file in it is open."""

RESERVE = 16 * 1024 * 1024
"""For the environment itself and uv's bookkeeping."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """What a disk has left. ``files`` is ``None`` where the file system does not count them."""

    device: int
    bytes: int
    files: int | None


def free_on(path: Path) -> Free:
    """Ask the file system of ``path``, or of its nearest folder that exists."""
    while not path.exists():
        path = path.parent
    if hasattr(os, "statvfs"):
        facts = os.statvfs(path)
        files = facts.f_favail if facts.f_files else None
        return Free(device=path.stat().st_dev, bytes=facts.f_bavail * facts.f_frsize, files=files)
    import shutil

    return Free(device=path.stat().st_dev, bytes=shutil.disk_usage(path).free, files=None)


def require_space(
    sizes: Iterable[int | None], *, cache: Path, target: Path, free: Callable[[Path], Free] = free_on
) -> None:
    """Refuse to download wheels of these sizes where they cannot fit once unpacked.

    The cache gets them; the target too where it lies on another file system, else hard links.

    Raises :class:`~gpuenv.errors.NoSpaceError` with the figures.
    """
    wheels = sum(size or 0 for size in sizes)
    need = int(wheels * UNPACKED) + RESERVE
    files = int(wheels * UNPACKED) // BYTES_A_FILE
    cached = free(cache)
    built = free(target)
    places = [("uv's cache", cache, cached)]
    if built.device != cached.device:
        places.append(("the environment", target, built))
    for what, path, room in places:
        if room.bytes < need:
            raise NoSpaceError(
                f"{what} needs about {_megabytes(need)} in {path}, and {_megabytes(room.bytes)} are free",
                causes=(f"the wheels to fetch have {_megabytes(wheels)}, unpacked at least {UNPACKED} times that",),
                hints=_hints(what, path),
            )
        if room.files is not None and room.files < files:
            raise NoSpaceError(
                f"{what} needs about {files} files in {path}, and its file system has {room.files} left (inodes)",
                hints=_hints(what, path),
            )


@contextlib.contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Say a failure of the file system under a build of ``target`` as an error of ours."""
    try:
        yield
    except OSError as error:
        where = error.filename or target
        if error.errno in (*FULL, errno.EFBIG):
            raise NoSpaceError(f"there is no space left for {where}", hints=(_room(target.parent),)) from error
        if getattr(error, "winerror", None) in (*IN_USE, _REFUSED):
            raise TargetError(
                f"{target} cannot be replaced: Windows does not let go of {where}",
                causes=(f"{error.strerror}: a program has it, or a file in it, open", "nothing was changed"),
                hints=(
                    "Close what uses it (a terminal in which it is active or that stands in it, an editor, a Jupyter "
                    "kernel), then run the same command again",
                ),
            ) from error
        raise TargetError(f"{target} cannot be built", causes=(f"{where}: {error.strerror or error}",)) from error


def written(environment: Path) -> Path:
    """An environment that uv has just made. On a full disk it leaves an empty pyvenv.cfg and says that all is well.

    Raises :class:`~gpuenv.errors.NoSpaceError`.
    """
    settings = environment / "pyvenv.cfg"
    if settings.is_file() and settings.stat().st_size == 0:
        raise NoSpaceError(f"there is no space left for {environment.name}", hints=(_room(environment.parent.parent),))
    return environment


def _hints(what: str, path: Path) -> tuple[str, ...]:
    if what == "uv's cache":
        larger = '$env:UV_CACHE_DIR = "D:\\uv"' if os.name == "nt" else "UV_CACHE_DIR=/a/larger/disk"
        return ("remove what is not used: uv cache prune", f"or move the cache: {larger}")
    return (_room(path),)


def _room(path: Path) -> str:
    return f"free some space, see: {'Get-PSDrive' if os.name == 'nt' else f'df -h {quote(str(path))}'}"


def _megabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def warn_of_copies(
    cache: Path | None, stage: Path, *, target: Path, free: Callable[[Path], Free], reporter: Reporter
) -> None:
    """Hard links end at the edge of a file system: gigabytes are copied then, and take their room twice."""
    if cache is not None and free(cache).device != free(stage).device:
        reporter.warn(f"uv's cache ({cache}) is on another file system than {target}: files are copied, not linked")
