"""Owns folders in the system's temporary folder: removed at the end, or by a later run where the process was killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_PREFIX = "gpuenv-"
_YOUNG_SECONDS = 3600.0
"""A folder that was made less than this ago may not have its lock yet."""


@contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """Make a folder that only we may enter, locked for as long as its process lives; remove it at the end."""
    sweep()
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{purpose}-", ignore_cleanup_errors=True) as folder:
        handle = _lock(Path(folder))
        try:
            yield Path(folder)
        finally:
            if handle is not None:
                os.close(handle)


def leftovers() -> Iterator[Path]:
    """What killed processes of this user left. Where the system has no locks on folders, nothing is known to be."""
    if sys.platform == "win32":
        return
    for folder in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*")):
        with contextlib.suppress(OSError):
            facts = folder.lstat()
            if facts.st_uid != os.geteuid() or facts.st_mode & 0o077 or time.time() - facts.st_mtime < _YOUNG_SECONDS:
                continue
            handle = _lock(folder)
            if handle is not None:
                try:
                    yield folder  # held while it is looked at or removed
                finally:
                    os.close(handle)


def sweep() -> None:
    """Remove what killed processes of this user left."""
    for folder in leftovers():
        shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path) -> int | None:
    """Hold a folder; ``None`` where somebody else does, where it is a link, or where there are no such locks."""
    if sys.platform == "win32":
        return None
    handle = -1
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if handle >= 0:
            os.close(handle)
        return None
    return handle
