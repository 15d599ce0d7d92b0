"""The lock of a folder, by which others see that its owner lives: the kernel drops it when that process dies.

On Linux it is the folder that is locked. Windows locks no folders: there it is a file in it, which is gone with its
owner, too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

if sys.platform != "win32":
    import fcntl

LOCK_FILE = ".gpuenv-lock"


def take(folder: Path) -> int | Literal["held", "unknown"]:
    """Hold a folder; ``held`` where somebody else does, ``unknown`` where it is a link or the file system has no locks.

    What is returned is closed with :func:`release`.
    """
    if sys.platform == "win32":
        return _take_file(folder / LOCK_FILE)
    handle = -1
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if handle >= 0:
            os.close(handle)
        return "held" if isinstance(error, BlockingIOError) else "unknown"
    return handle


def release(handle: int | str) -> None:
    """Let go what :func:`take` returned."""
    if isinstance(handle, int):
        os.close(handle)


def _take_file(path: Path) -> int | Literal["held", "unknown"]:
    """Windows: a file that only one can have open for writing, and that goes when it is closed (O_TEMPORARY)."""
    import msvcrt

    if path.parent.is_symlink() or not path.parent.is_dir():
        return "unknown"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_TEMPORARY", 0) | getattr(os, "O_NOINHERIT", 0))
    except PermissionError:  # it is on its way out: its owner dies just now, or has it open without sharing
        return "held"
    except OSError:
        return "unknown"
    try:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined] # of Windows alone
    except OSError:
        os.close(handle)
        return "held"
    return handle
