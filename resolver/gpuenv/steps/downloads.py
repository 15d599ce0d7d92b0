"""Wheels that are kept: downloads with their hash, and the content-addressed store."""

from __future__ import annotations

from pathlib import Path

from gpuenv.environment.fetch import Fetcher
from gpuenv.environment.store import Store
from gpuenv.lock import codec
from gpuenv.lock.model import Lock
from gpuenv.steps.context import Context
from gpuenv.steps.sources import open_http
from gpuenv.system.files import write_atomic


def open_store(context: Context) -> Store:
    """The store that was named, else gpuenv's own; its folder need not exist."""
    return Store(context.store or context.state / "store")


def from_store(context: Context, lock: Lock, *, name: str) -> Path | None:
    """Write a copy of a lock that takes what the store keeps from there; ``None`` where it keeps nothing of it."""
    local = open_store(context).localized(lock)
    if local == lock:
        return None
    path = context.state / "localized" / name
    write_atomic(path, codec.render(local), what="the lock that takes wheels from the store")
    return path


def fetcher(context: Context) -> Fetcher:
    """A downloader into the store; offline it answers from the store alone."""
    return Fetcher(store=open_store(context), client=open_http(context), reporter=context.reporter)


def keep(context: Context, lock: Lock) -> int:
    """Bring every wheel of a lock into the store; returns how many had to be fetched.

    A wheel is compared with the lock's hash while it arrives: a store never holds anything else under that hash.
    """
    store = open_store(context)
    lacking = len(store.missing(lock))
    fetcher(context).keep(lock)
    have = len(lock.packages) - lacking
    context.reporter.say(f"Kept {len(lock.packages)} wheels in the store ({lacking} new, {have} there already)")
    return lacking
