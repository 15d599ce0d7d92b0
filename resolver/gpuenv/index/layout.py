"""Knows how sources are laid out: PyTorch's index and its mirrors, package indexes, pages of links, folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpuenv.errors import IndexUnreachableError, PageFormatError
from gpuenv.index.config import Place
from gpuenv.index.kept import read_page
from gpuenv.index.listed import Page
from gpuenv.index.names import NameFault, folders_of, is_variant, parse_name
from gpuenv.index.parallel import in_parallel
from gpuenv.model.wheel import Channel, Wheel
from gpuenv.net.client import Absent, Client
from gpuenv.net.location import Location

# Folders of builds for other accelerators and old forms are not worth a request each on a mirror without a root page.
_USEFUL = ("cu", "cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What one source offers of one project. ``failure`` is empty where it answered; ``notes`` are for ``-v``,
    ``warnings`` for everybody;
    ``base`` is the folder of the channel that was asked, where it is not the source's own location."""

    project: str
    wheels: tuple[Wheel, ...]
    failure: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    base: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """One channel of one source, asked for pages."""

    place: Place
    http: Client
    channel: Channel

    def page(self, where: Location, projects: Sequence[str], *, variant: str = "") -> Page | Absent:
        """Fetch and read a page, of that variant where its rows do not say.

        One that lists nothing of ``projects`` and no variants is thrown out of the cache: a captive portal's would stay
        for good. So is one with signed links, whose time is short.
        """
        answer = self.http.get(where)
        if isinstance(answer, Absent):
            return answer
        try:
            page = read_page(
                self.http.cache, where, answer, kind=self.place.kind, channel=self.channel, variant=variant
            )
        except PageFormatError:
            self.http.forget(where)
            raise
        useful = any(row.project in projects for row in page.rows) or any(is_variant(name) for name, _ in page.folders)
        if page.signed or not useful:
            self.http.forget(where)
        for signed in page.signed:
            self.http.remember(signed)
        return page

    def perhaps(self, where: Location, projects: Sequence[str], *, variant: str) -> Page | None:
        """A page that need not be one: some mirrors show a program for browsers in place of their lists."""
        try:
            page = self.page(where, projects, variant=variant)
        except PageFormatError:
            return None
        return page if isinstance(page, Page) else None

    def listing(self, project: str, pages: Sequence[Page], *, base: Location | None = None) -> Listing:
        """What pages offer of a project, links aside that lead where the source may not."""
        wheels: dict[str, Wheel] = {}
        skipped: list[str] = []
        elsewhere: dict[str, int] = {}
        judged: dict[str, bool] = {}
        for page in pages:
            for row in page.rows:
                if row.project != project:
                    continue
                server = row.url[: row.url.find("/", 8)]
                if server not in judged:
                    judged[server] = self.place.leads_to(Location.parse(server, origin="a link"))
                if not judged[server]:
                    elsewhere[server] = elsewhere.get(server, 0) + 1
                else:
                    wheels.setdefault(row.url, row)
            skipped += [f"{skip.filename}: {skip.reason}" for skip in page.skipped if skip.filename.endswith(".whl")]
        failure = "" if wheels else "no page of it there" if not pages else "no wheel of it there"
        foreign = tuple(
            f"{number} of its links lead to {server}, which is not a host of this source (--allow-host)"
            for server, number in sorted(elsewhere.items())
        )
        if foreign and not wheels:
            failure = "; ".join(foreign)
        notes = tuple(sorted(set(skipped)))
        return Listing(
            project=project,
            wheels=tuple(wheels.values()),
            failure=failure,
            notes=notes,
            warnings=foreign,
            base="" if base is None else base.shown,
        )


def read_pytorch(
    place: Place, http: Client, projects: Sequence[str], channel: Channel, *, variants: Sequence[str]
) -> list[Listing]:
    """Read an index laid out as PyTorch's: ``<project>/`` at its root lists every variant.

    Mirrors that have variant folders only (``cu128/<project>/``, or ``cu128/`` as one page of all wheels) are found
    out when no project has a page at the root. Such an index says 403 for what is not there, so a 403 means "no such
    project" only beside another page that answers; else the whole index refuses, which is an error.
    """
    here = channel == "stable" or channel in folders_of(place.location.below(page=True).url)
    asking = _Asking(place=place, http=http, channel=channel)
    base = place.location if here else place.location.below(channel)
    answers = in_parallel(lambda project: asking.page(base.below(project, page=True), [project]), projects)
    found = {project: [page] for project, page in zip(projects, answers, strict=True) if isinstance(page, Page)}
    gathered = [] if found else _variant_pages(asking, base, projects, variants)
    if found or gathered:
        return [asking.listing(project, gathered or found.get(project, []), base=base) for project in projects]
    refused = next(page for page in answers if isinstance(page, Absent))
    raise IndexUnreachableError(
        f"{base} is not an index that lists {', '.join(projects)}",
        causes=[f"it answers {refused.status} for each of their pages, and has no folders of variants"],
        hints=["Give the folder that holds <project>/ or <variant>/, as https://download.pytorch.org/whl does"],
    )


def _variant_pages(asking: _Asking, base: Location, projects: Sequence[str], variants: Sequence[str]) -> list[Page]:
    """Pages of a mirror without project pages at its root; empty where it has none of the known forms."""
    last = folders_of(base.below(page=True).url)[-1:]
    own = last[0] if last and is_variant(last[0]) else ""
    listing = asking.perhaps(base.below(page=True), projects, variant=own)
    if listing is not None and any(row.project in projects for row in listing.rows):
        return [listing]
    names = [name for name, _ in listing.folders] if listing is not None else list(variants)
    useful = sorted({name for name in names if is_variant(name) and name.startswith(_USEFUL) and "-" not in name})
    useful = [name for name in useful if "_" not in name]
    found = in_parallel(lambda name: _one_variant(asking, base.below(name), projects, name), useful)
    return [page for pages in found for page in pages]


def _one_variant(asking: _Asking, folder: Location, projects: Sequence[str], variant: str) -> list[Page]:
    """A variant's wheels: its own page where that lists wheels, else a page for each project below it."""
    own = asking.perhaps(folder.below(page=True), projects, variant=variant)
    if own is not None and any(row.project in projects for row in own.rows):
        return [own]
    pages = [asking.page(folder.below(each, page=True), [each], variant=variant) for each in projects]
    return [page for page in pages if isinstance(page, Page)]


def read_package_index(place: Place, http: Client, project: str) -> Listing:
    """Read a project page of a package index (PEP 503 or 691)."""
    asking = _Asking(place=place, http=http, channel="stable")
    page = asking.page(place.location.below(project, page=True), [project])
    if isinstance(page, Absent):
        return Listing(project=project, wheels=(), failure=f"not there (status {page.status})")
    return asking.listing(project, [page])


def read_page_of_links(place: Place, http: Client, projects: Sequence[str]) -> list[Listing]:
    """Read one HTML page of links, as pip's ``--find-links`` does."""
    asking = _Asking(place=place, http=http, channel="stable")
    page = asking.page(place.location, projects)
    if isinstance(page, Absent):
        raise IndexUnreachableError(
            f"{place.shown} cannot be read",
            causes=[f"it answers with status {page.status}"],
            hints=["Check --find-links"],
        )
    return [asking.listing(project, [page]) for project in projects]


def read_folder(folder: Path, projects: Sequence[str]) -> list[Listing]:
    """Read a folder of wheels. Hash and variant stay open: they are in the files, and read when needed."""
    try:
        files = sorted((path for path in folder.iterdir() if path.suffix == ".whl"), key=lambda path: path.name)
        found = {project: _local(files, project) for project in projects}
    except OSError as error:
        raise IndexUnreachableError(
            f"the folder {folder} cannot be read", causes=[error.strerror or str(error)], hints=["Check --find-links"]
        ) from None
    return [
        Listing(project=project, wheels=wheels, failure="" if wheels else "no wheel of it there")
        for project, wheels in found.items()
    ]


def _local(files: Sequence[Path], project: str) -> tuple[Wheel, ...]:
    wheels = []
    for path in files:
        name = parse_name(path.name)
        if not isinstance(name, NameFault) and name.project == project:
            wheels.append(
                Wheel(
                    project=name.project,
                    version=name.version,
                    filename=path.name,
                    url=Path(os.path.realpath(path)).as_uri(),  # Path.resolve raises where links lead in a circle
                    source="find-links",
                    channel="nightly" if ".dev" in name.version else "stable",
                    variant=None,
                    size=path.stat().st_size,
                )
            )
    return tuple(wheels)
