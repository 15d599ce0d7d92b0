"""Paths of a lock's local wheels: relative where lock and wheels travel together, absolute where a lock is copied."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import PurePosixPath

from gpuenv.lock.model import Lock, LockedPackage


def near(lock: Lock, folder: PurePosixPath, *, project: PurePosixPath) -> Lock:
    """The lock as it is written into ``folder``: wheels inside ``project`` by relative path, others by absolute.

    A project that is cloned or moved as a whole keeps its lock. Both folders must be absolute.
    """

    def relative(package: LockedPackage) -> LockedPackage:
        path = None if package.path is None else PurePosixPath(package.path)
        if path is None or not path.is_absolute() or not path.is_relative_to(project):
            return package
        return replace(package, path=posixpath.relpath(path, folder))

    return replace(lock, packages=tuple(relative(package) for package in lock.packages))


def anchored(lock: Lock, folder: PurePosixPath) -> Lock:
    """The lock with every relative path made absolute: it was read from ``folder`` and will be used from elsewhere."""

    def absolute(package: LockedPackage) -> LockedPackage:
        if package.path is None or PurePosixPath(package.path).is_absolute() or package.path[1:3] == ":/":
            return package
        return replace(package, path=posixpath.normpath(folder / package.path))

    return replace(lock, packages=tuple(absolute(package) for package in lock.packages))
