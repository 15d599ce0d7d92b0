"""The lock that uv reads during one build: the run's own copy, with what a store keeps taken from there.

Nothing else can change it: not another run with the same profile's name, and not who edits the lock of the project
between its audit and the installation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from gpuenv.environment.store import Damage, Store
from gpuenv.errors import GpuenvError, OfflineError
from gpuenv.lock import codec
from gpuenv.lock.model import Lock
from gpuenv.report import Reporter
from gpuenv.system.files import write_atomic

T = TypeVar("T")


def install_healing(
    lock: Lock,
    folder: Path,
    *,
    name: str,
    store: Store | None,
    offline: bool,
    reporter: Reporter,
    install: Callable[[Path, Lock], T],
) -> T:
    """Give ``install`` the copy and what it says, written into ``folder`` (which belongs to one run); where it fails,
    and the store has damaged copies, once more without those.

    Raises what ``install`` raises, and :class:`~gpuenv.errors.IntegrityError` where offline nothing replaces a copy.
    """

    def install_from(without: Collection[str] = ()) -> T:
        local = lock if store is None else store.localized(lock, without=without)
        write_atomic(folder / name, codec.render(local), what="the lock of this run", durable=False)
        return install(folder / name, local)

    try:
        return install_from()
    except GpuenvError:
        unlike = copies_unlike(lock, store, reporter=reporter, keep=offline)
        if not unlike:
            raise
    try:
        return install_from(without={each.wheel.sha256 for each in unlike})
    except OfflineError:
        raise unlike[0].error(profile=lock.inputs.profile) from None


def copies_unlike(lock: Lock, store: Store | None, *, reporter: Reporter, keep: bool) -> tuple[Damage, ...]:
    """Find the copies of a lock's wheels that are not what was locked, and say so. They are removed, to be fetched
    again, unless ``keep``: offline nothing could take their place."""
    damaged = () if store is None else store.damaged(lock)
    for each in damaged:
        reporter.warn(f"the store's copy of {each.wheel.filename} is damaged{'' if keep else ': fetching it again'}")
        reporter.detail(f"{each.wheel.path}: sha256 {each.found}")
        if not keep:
            each.drop()
    return damaged
