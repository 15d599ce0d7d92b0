"""Wheels that are kept: downloads with their hash, and the content-addressed store."""

from __future__ import annotations

from pathlib import Path

from gpuenv.commands.context import Context
from gpuenv.environment.fetch import Fetcher, requests_opener
from gpuenv.environment.store import Store
from gpuenv.index.access import certificates_for, proxy_for
from gpuenv.index.config import SourcePlan
from gpuenv.lock.model import Lock


def store_folder(context: Context) -> Path:
    """The store that was named, else gpuenv's own."""
    return context.store or context.state / "store"


def open_store(context: Context) -> Store:
    """The store of this run; its folder need not exist."""
    return Store(store_folder(context))


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
