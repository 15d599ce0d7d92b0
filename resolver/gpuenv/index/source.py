"""Asks sources for wheels, one after the other, and says how each ended."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

from gpuenv.errors import GpuenvError, IndexUnreachableError, OfflineError, PackageIndexError
from gpuenv.index.asking import Listing
from gpuenv.index.config import Place, SourcePlan
from gpuenv.index.layout import read_folder, read_package_index, read_page_of_links, read_pytorch
from gpuenv.index.parallel import in_parallel
from gpuenv.model.wheel import Attempt, Catalog, Channel, Wheel
from gpuenv.net.client import Client
from gpuenv.net.location import Location
from gpuenv.report import Reporter, Silent


class Sources:
    """The sources of a plan, asked only as far as someone goes on asking.

    Iterating yields each source with its catalog, in the plan's order; a source is asked when its turn comes, so that a
    decision which fits at an earlier one costs no request at the later ones. A source that fails is an attempt with
    its failure in a catalog without wheels; one that the user insisted on (``--torch-index``) raises instead.
    """

    def __init__(self, plan: SourcePlan, load: Callable[[Place], Catalog]) -> None:
        """``load`` asks one source, as :func:`load_source` does."""
        self.attempts: tuple[Attempt, ...] = ()
        self.errors: tuple[GpuenvError, ...] = ()
        self._plan, self._load = plan, load

    def __iter__(self) -> Iterator[tuple[Place, Catalog]]:
        for place in self._places():
            try:
                catalog = self._load(place)
            except PackageIndexError as error:
                if place.only:
                    raise
                self.errors += (error,)
                failure = "; ".join([error.message, *error.causes[:1]])
                catalog = Catalog(
                    wheels=(),
                    attempts=(_attempt(place, Listing(project="", wheels=(), failure=failure)),),
                    identity=partial(snapshot, ()),
                )
            self.attempts += catalog.attempts
            yield place, catalog

    def _places(self) -> Iterator[Place]:
        yield from self._plan.torch
        last = self._plan.fallback()
        if last is not None:
            yield last

    def nothing(self) -> PackageIndexError:
        """Make the error for the case that no source had a wheel: every source with how it ended, in order."""
        causes = []
        for each in self.attempts:
            what = f"{each.project}: " if each.project else ""
            ended = each.failure or f"{each.wheels} wheels"
            causes.append(f"{what}{each.location} ({each.configured_by}): {ended}")
        causes += [
            f"{place.words} was not asked: what pip adds to its index serves no package of torch's family"
            for place in self._plan.not_asked
        ]
        hints = list(dict.fromkeys(hint for error in self.errors for hint in error.hints))
        for place in self._plan.not_asked:
            option = "--index" if place.kind == "package-index" else "--find-links"
            hints.append(f"If {place.shown} is to serve torch, say so: add `{option} {place.shown}`")
        hints.append("Name a mirror with --torch-index URL, or a folder of wheels with --find-links DIR")
        kind = OfflineError if any(isinstance(each, OfflineError) for each in self.errors) else IndexUnreachableError
        return kind("no source of wheels could be used", causes=causes, hints=hints)


def load_source(
    place: Place,
    http: Client,
    *,
    projects: Sequence[str],
    channels: Sequence[Channel] = ("stable",),
    variants: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Catalog:
    """Ask one source for projects: one page a project and channel where the layout is PyTorch's.

    ``variants`` are folders to try where a mirror has neither project pages at its root nor a list of its folders.
    The catalog does not depend on the order of ``projects`` or of links. A project that a source does not have is an
    attempt with a failure. Raises :class:`~gpuenv.errors.IndexUnreachableError`, ``OfflineError``,
    ``PageFormatError``.
    """
    voice = reporter or Silent()
    wanted = sorted(set(projects))
    listings = _listings(place, http, wanted, list(dict.fromkeys(channels)), variants)
    wheels: dict[tuple[str, str], Wheel] = {}
    attempts = []
    for listing in listings:
        for wheel in listing.wheels:
            wheels.setdefault((wheel.url, wheel.project), wheel)
        attempts.append(_attempt(place, listing))
        for line in listing.notes:
            voice.detail(line)
        for line in listing.warnings:
            voice.warn(f"{listing.project} at {place.shown}: {line}")
        voice.detail(f"{listing.project}: {listing.failure or f'{len(listing.wheels)} wheels'} ({place.shown})")
    ordered = tuple(sorted(wheels.values(), key=lambda wheel: (wheel.project, wheel.url)))
    identity = cache(partial(snapshot, ordered, bases=(place.location.url,)))
    return Catalog(wheels=ordered, attempts=tuple(attempts), identity=identity)


def _listings(
    place: Place, http: Client, projects: Sequence[str], channels: Sequence[Channel], variants: Sequence[str]
) -> list[Listing]:
    match place.kind:
        case "pytorch" | "mirror":
            found: list[Listing] = []
            for channel in channels:
                found += read_pytorch(place, http, projects, channel, variants=variants)
            return found
        case "package-index":
            return in_parallel(lambda project: read_package_index(place, http, project), projects)
        case "find-links":
            if (folder := local_folder(place.location)) is not None:
                return read_folder(folder, projects)
            return read_page_of_links(place, http, projects)


def local_folder(location: Location) -> Path | None:
    """The folder that a location means; ``None`` where it is a page."""
    return location.local if location.is_local and not location.local.is_file() else None


def merge(catalogs: Iterable[Catalog]) -> Catalog:
    """Put catalogs one after the other; a wheel that was listed before keeps its first place."""
    wheels: dict[tuple[str, str], Wheel] = {}
    attempts: list[Attempt] = []
    parts: list[Catalog] = []
    for catalog in catalogs:
        attempts += catalog.attempts
        if catalog.wheels:
            parts.append(catalog)
        for wheel in catalog.wheels:
            wheels.setdefault((wheel.url, wheel.project), wheel)
    return Catalog(wheels=tuple(wheels.values()), attempts=tuple(attempts), identity=cache(partial(_joined, parts)))


def _joined(parts: Sequence[Catalog]) -> str:
    found = {part.snapshot for part in parts}
    return next(iter(found)) if len(found) == 1 else hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()


def snapshot(wheels: Iterable[Wheel], *, bases: Iterable[str] = ()) -> str:
    """The identity of a set of rows: sha256 over them, whatever their order.

    A URL below one of ``bases`` counts by the part after it, so that the same index served at another address has
    the same identity.
    """
    prefixes = sorted((f"{base.rstrip('/')}/" for base in bases), key=len, reverse=True)
    lines = set()
    for wheel in wheels:
        prefix = next((each for each in prefixes if wheel.url.startswith(each)), "")
        fields = (wheel.project, wheel.version, wheel.filename, wheel.url.removeprefix(prefix), wheel.channel)
        facts = (wheel.variant, wheel.sha256, wheel.requires_python, wheel.metadata_sha256, wheel.yanked)
        lines.add("\t".join([*fields, *("-" if fact is None else f"={fact}" for fact in facts)]))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def _attempt(place: Place, listing: Listing) -> Attempt:
    return Attempt(
        project=listing.project,
        source=place.kind,
        location=listing.base or place.shown,
        configured_by=place.configured_by,
        failure=listing.failure,
        wheels=len(listing.wheels),
    )
