"""Wheels whose address is signed: a lock holds none of that, so a page of the lock's own source is asked again."""

from __future__ import annotations

from collections.abc import Sequence

from gpuenv.errors import IndexUnreachableError, OfflineError, PackageIndexError
from gpuenv.index.config import Place
from gpuenv.lock.model import Lock, LockedPackage
from gpuenv.net.location import Location, host_of
from gpuenv.shell import quote
from gpuenv.steps.context import Context
from gpuenv.steps.downloads import fetcher, open_store
from gpuenv.steps.sources import ask, source_plan


def fetch_signed(context: Context, lock: Lock) -> None:
    """Bring the wheels of a lock whose addresses are signed into the store: uv cannot fetch them.

    Only a row of the locked name, on the locked host, is followed, and what arrives is compared with the locked hash.
    Raises what a download raises, and :class:`~gpuenv.errors.IndexUnreachableError` where no page lists a wheel now.
    """
    store = open_store(context)
    lacking = [each for each in lock.packages if each.signed and not store.has(each.sha256)]
    if not lacking:
        return
    if context.offline:
        raise OfflineError(
            f"offline, and not in the store: {', '.join(each.name for each in lacking)}",
            causes=("the addresses are signed: only their index can give new ones",),
            hints=("Run once without --offline",),
        )
    fetch = fetcher(context)
    for package in lacking:
        url = _address_now(context, lock, package)
        fetch.fetch(url, filename=package.filename, sha256=package.sha256, size=package.size)
    context.reporter.say(f"Fetched {len(lacking)} wheels with signed addresses into the store")


def _address_now(context: Context, lock: Lock, package: LockedPackage) -> str:
    """The address of a locked wheel as its source lists it now; the client knows from then on how it is signed."""
    failures = []
    for place in _places(context, lock, package):
        try:
            rows = ask(context, place, projects=[package.name], channels=[lock.decision.channel]).wheels
        except PackageIndexError as error:
            failures.append(f"{place.words}: {error.message}")
            continue
        for row in rows:
            same = row.filename == package.filename and row.sha256 in (None, package.sha256)
            if same and host_of(row.url) == host_of(package.url or ""):
                return row.url
        failures.append(f"{place.words}: does not list {package.filename} with the locked hash")
    raise IndexUnreachableError(
        f"{package.filename} has a signed address, and no source gives a new one",
        causes=failures or ("no package index is configured here",),
        hints=(
            "Name the source that it was locked from, with --torch-index or --index",
            f"Or lock what is listed now: `gpuenv lock --upgrade --profile {quote(lock.inputs.profile)}`",
        ),
    )


def _places(context: Context, lock: Lock, package: LockedPackage) -> Sequence[Place]:
    """Where the wheel may be listed: the torch source that the lock names, for the others the package indexes."""
    plan = source_plan(context)
    if not (package.family or lock.decision.single_source):
        return (*([plan.default_index] if plan.default_index else []), *plan.extra_indexes, *plan.find_links)
    found = []
    for text in lock.inputs.sources:
        if "://" in text:
            location = Location.parse(text, origin="a source of the lock")
            named = [place for place in plan.torch if place.location.url == location.url]
            found += named or [Place(kind=lock.decision.source, location=location, configured_by="the lock")]
    return found
