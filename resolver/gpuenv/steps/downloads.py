"""Wheels that are kept: downloads with their hash, and the content-addressed store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.environment.roots import register
from gpuenv.environment.run_lock import copies_unlike
from gpuenv.environment.store import Store
from gpuenv.errors import GpuenvError
from gpuenv.lock.model import Lock
from gpuenv.steps.context import Context

if TYPE_CHECKING:  # what downloads is loaded where something is not in the store
    from gpuenv.environment.fetch import Fetcher


def open_store(context: Context) -> Store:
    """The store that was named, else gpuenv's own; its folder need not exist."""
    return Store(context.store or context.state / "store")


def fetcher(context: Context) -> Fetcher:
    """A downloader into the store; offline it answers from the store alone."""
    from gpuenv.environment.fetch import Fetcher
    from gpuenv.steps.sources import open_http

    return Fetcher(store=open_store(context), client=open_http(context), reporter=context.reporter)


def remember(context: Context, path: Path, lock: Lock) -> None:
    """Register the lock at ``path`` in the store, where that keeps any wheel of it: nobody's pruning takes it then."""
    store = open_store(context)
    if len(store.missing(lock)) == len(lock.packages):
        return
    try:
        register(store, path, lock)
    except GpuenvError as error:  # a store that may only be read serves all the same
        context.reporter.detail(f"{error.message}: {'; '.join(error.causes)}")


def keep(context: Context, path: Path, lock: Lock) -> int:
    """Bring every wheel of the lock at ``path`` into the store; returns how many had to be fetched.

    A wheel is compared with the lock's hash while it arrives. One that is there already is hashed again: what is said
    to be kept can be installed.
    """
    store = open_store(context)
    register(store, path, lock)
    store.sweep()
    damaged = copies_unlike(lock, store, reporter=context.reporter, keep=context.offline)
    if damaged and context.offline:
        raise damaged[0].error(profile=lock.inputs.profile)
    lacking = len(store.missing(lock))
    fetcher(context).keep(lock)
    have = len(lock.packages) - lacking
    context.reporter.say(f"Kept {len(lock.packages)} wheels in the store ({lacking} new, {have} there already)")
    return lacking
