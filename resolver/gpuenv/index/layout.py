"""Knows how sources are laid out: PyTorch's index and its mirrors, package indexes, pages of links, folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gpuenv.errors import IndexUnreachableError, PageFormatError
from gpuenv.index.config import Place
from gpuenv.index.names import NameFault, channel_of, folders_of, is_variant, parse_name, variant_of
from gpuenv.index.page import Page, PageRow, parse_page
from gpuenv.index.parallel import in_parallel
from gpuenv.model.wheel import Channel, SourceKind, Wheel
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


def read_pytorch(
    place: Place, http: Client, projects: Sequence[str], channel: Channel, *, variants: Sequence[str]
) -> list[Listing]:
    """Read an index laid out as PyTorch's: ``<project>/`` at its root lists every variant.

    Mirrors that have variant folders only (``cu128/<project>/``, or ``cu128/`` as one page of all wheels) are found
    out when no project has a page at the root. Such an index says 403 for what is not there, so a 403 means "no such
    project" only beside another page that answers; else the whole index refuses, which is an error.
    """
    here = channel == "stable" or channel in folders_of(place.location.below(page=True).url)
    base = place.location if here else place.location.below(channel)
    answers = in_parallel(lambda project: _page(http, base.below(project, page=True), [project]), projects)
    found = dict(zip(projects, answers, strict=True))
    pages = {project: page for project, page in found.items() if isinstance(page, Page)}
    if pages:
        found_in = {project: [pages[project]] if project in pages else [] for project in projects}
        return [_listing(project, found_in[project], place, channel, base=base) for project in projects]
    gathered = _variant_pages(base, http, projects, variants)
    if gathered:
        return [_listing(project, gathered, place, channel, base=base) for project in projects]
    refused = next(page for page in answers if isinstance(page, Absent))
    raise IndexUnreachableError(
        f"{base} is not an index that lists {', '.join(projects)}",
        causes=[f"it answers {refused.status} for each of their pages, and has no folders of variants"],
        hints=["Give the folder that holds <project>/ or <variant>/, as https://download.pytorch.org/whl does"],
    )


@dataclass(frozen=True, slots=True)
class _VariantPage:
    """A page of one variant's folder, which says the variant where the wheel's own URL does not."""

    page: Page
    variant: str


def _variant_pages(
    base: Location, http: Client, projects: Sequence[str], variants: Sequence[str]
) -> list[_VariantPage]:
    """Pages of a mirror without project pages at its root; empty where it has none of the known forms."""
    listing = _perhaps(http, base.below(page=True), projects)
    if isinstance(listing, Page) and any(row.project in projects for row in listing.rows):
        last = folders_of(base.below(page=True).url)[-1:]
        return [_VariantPage(listing, last[0] if last and is_variant(last[0]) else "")]
    names = [name for name, _ in listing.folders] if isinstance(listing, Page) else list(variants)
    useful = sorted({name for name in names if is_variant(name) and name.startswith(_USEFUL) and "-" not in name})
    useful = [name for name in useful if "_" not in name]
    gathered: list[_VariantPage] = []
    for variant, pages in zip(
        useful, in_parallel(lambda name: _one_variant(base.below(name), http, projects), useful), strict=True
    ):
        gathered += [_VariantPage(page, variant) for page in pages]
    return gathered


def _one_variant(folder: Location, http: Client, projects: Sequence[str]) -> list[Page]:
    """A variant's wheels: its own page where that lists wheels, else a page for each project below it."""
    own = _perhaps(http, folder.below(page=True), projects)
    if isinstance(own, Page) and any(row.project in projects for row in own.rows):
        return [own]
    pages = [_page(http, folder.below(project, page=True), [project]) for project in projects]
    return [page for page in pages if isinstance(page, Page)]


def read_package_index(place: Place, http: Client, project: str) -> Listing:
    """Read a project page of a package index (PEP 503 or 691)."""
    page = _page(http, place.location.below(project, page=True), [project])
    if isinstance(page, Absent):
        return Listing(project=project, wheels=(), failure=f"not there (status {page.status})")
    return _listing(project, [page], place, "stable")


def read_page_of_links(place: Place, http: Client, projects: Sequence[str]) -> list[Listing]:
    """Read one HTML page of links, as pip's ``--find-links`` does."""
    page = _page(http, place.location, projects)
    if isinstance(page, Absent):
        raise IndexUnreachableError(
            f"{place.shown} cannot be read",
            causes=[f"it answers with status {page.status}"],
            hints=["Check --find-links"],
        )
    return [_listing(project, [page], place, "stable") for project in projects]


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
                    url=path.resolve().as_uri(),
                    source="find-links",
                    channel="nightly" if ".dev" in name.version else "stable",
                    variant=None,
                    size=path.stat().st_size,
                )
            )
    return tuple(wheels)


def _page(http: Client, where: Location, projects: Sequence[str]) -> Page | Absent:
    """Fetch and read a page.

    One that lists nothing of ``projects`` and no variants is thrown out of the cache: a captive portal's would stay for
    good. So is one with signed links, whose time is short.
    """
    answer = http.get(where)
    if isinstance(answer, Absent):
        return answer
    try:
        page = parse_page(answer.body, url=answer.where.url, content_type=answer.content_type)
    except PageFormatError:
        http.forget(where)
        raise
    useful = any(row.project in projects for row in page.rows) or any(is_variant(name) for name, _ in page.folders)
    if page.signed or not useful:
        http.forget(where)
    for signed in page.signed:
        http.remember(signed)
    return page


def _perhaps(http: Client, where: Location, projects: Sequence[str]) -> Page | None:
    """A page that need not be one: some mirrors show a program for browsers in place of their lists."""
    try:
        page = _page(http, where, projects)
    except PageFormatError:
        return None
    return page if isinstance(page, Page) else None


def _listing(
    project: str, pages: Sequence[Page | _VariantPage], place: Place, channel: Channel, *, base: Location | None = None
) -> Listing:
    wheels: dict[str, Wheel] = {}
    skipped: list[str] = []
    elsewhere: dict[str, int] = {}
    judged: dict[str, bool] = {}
    for each in pages:
        page, variant = (each.page, each.variant) if isinstance(each, _VariantPage) else (each, "")
        for row in page.rows:
            if row.project != project:
                continue
            server = row.url[: row.url.find("/", 8)]
            if server not in judged:
                judged[server] = place.leads_to(Location.parse(server, origin="a link"))
            if not judged[server]:
                elsewhere[server] = elsewhere.get(server, 0) + 1
            else:
                wheels.setdefault(row.url, to_wheel(row, kind=place.kind, channel=channel, variant=variant))
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


def to_wheel(row: PageRow, *, kind: SourceKind, channel: Channel, variant: str = "") -> Wheel:
    """Make the wheel of a row. Variant and channel come from the URL's folders; ``variant`` is that of the page, for
    a mirror that keeps its files elsewhere."""
    layered = kind in ("pytorch", "mirror")
    named = channel_of(row.url) if kind != "package-index" else None
    own = variant_of(row.url) if kind != "package-index" else None
    at_root = layered and folders_of(row.url)[-1:] in (["whl"], ["nightly"], ["test"])
    return Wheel(
        project=row.project,
        version=row.version,
        filename=row.filename,
        url=row.url,
        source=kind,
        channel="nightly" if named == "nightly" else "test" if named == "test" else channel,
        variant=own or (None if at_root else variant or None),
        sha256=row.sha256,
        size=row.size,
        requires_python=row.requires_python,
        metadata_sha256=row.metadata_sha256,
        upload_time=row.upload_time,
        yanked=row.yanked,
    )
