"""Wheels that are kept: downloads with their hash, and the content-addressed store."""

from __future__ import annotations

from pathlib import Path

from gpuenv.commands.context import Context
from gpuenv.environment.fetch import Fetcher, requests_opener
from gpuenv.environment.store import Store
from gpuenv.index.access import certificates_for, proxy_for
from gpuenv.index.config import SourcePlan
from gpuenv.lock import codec
from gpuenv.lock.model import Lock
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


def fetcher(context: Context, plan: SourcePlan) -> Fetcher:
    """A downloader into the store, with the user's certificate and proxy; offline it answers from the store alone."""
    if context.offline:
        return Fetcher(store=open_store(context), opener=None, reporter=context.reporter)
    import requests

    session = requests.Session()
    session.trust_env = False  # the environment reaches the session through `context` only
    certificates = certificates_for(plan.access, context.environ)
    if certificates:
        session.verify = certificates
    for scheme in ("http", "https"):
        proxy = proxy_for(f"{scheme}://download.pytorch.org", plan.access, context.environ)
        if proxy:
            session.proxies[scheme] = proxy
    return Fetcher(store=open_store(context), opener=requests_opener(session), reporter=context.reporter)


def keep(context: Context, plan: SourcePlan, lock: Lock) -> int:
    """Bring every wheel of a lock into the store; returns how many had to be fetched.

    A wheel is compared with the lock's hash while it arrives: a store never holds anything else under that hash.
    """
    store = open_store(context)
    lacking = len(store.missing(lock))
    fetcher(context, plan).keep(lock)
    have = len(lock.packages) - lacking
    context.reporter.say(f"Kept {len(lock.packages)} wheels in the store ({lacking} new, {have} there already)")
    return lacking
