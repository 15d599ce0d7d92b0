"""Knows how sources are laid out: PyTorch's index and its mirrors, package indexes, pages of links, folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gpuenv.errors import IndexUnreachableError
from gpuenv.index.asking import Asking, Listing
from gpuenv.index.config import Place
from gpuenv.index.listed import Page
from gpuenv.index.names import NameFault, folders_of, parse_name
from gpuenv.index.parallel import in_parallel
from gpuenv.index.variant_folders import PROBED, VariantFolders
from gpuenv.model.wheel import Channel, Wheel
from gpuenv.net.client import Absent, Client


def read_pytorch(
    place: Place, http: Client, projects: Sequence[str], channel: Channel, *, variants: Sequence[str]
) -> list[Listing]:
    """Read an index laid out as PyTorch's: ``<project>/`` at its root lists every variant.

    Mirrors that have variant folders only (``cu128/<project>/``, or ``cu128/`` as one page of all wheels) are found
    out when no project has a page at the root, once: what was learned is kept. Such an index says 403 for what is not
    there, so a 403 means "no such project" only beside another page that answers; else the whole index refuses, which
    is an error. ``variants`` are looked for where it lists no folders, the likeliest first.
    """
    here = channel == "stable" or channel in folders_of(place.location.below(page=True).url)
    asking = Asking(place=place, http=http, channel=channel)
    base = place.location if here else place.location.below(channel)
    folders = VariantFolders(asking=asking, base=base, projects=projects, variants=variants)
    gathered = folders.as_learned()
    if gathered:
        return [asking.listing(project, gathered, base=base) for project in projects]
    answers = in_parallel(lambda project: asking.page(base.below(project, page=True), [project]), projects)
    found = {project: [page] for project, page in zip(projects, answers, strict=True) if isinstance(page, Page)}
    gathered = [] if found else folders.learn()
    if found or gathered:
        return [asking.listing(project, gathered or found.get(project, []), base=base) for project in projects]
    refused = next(page for page in answers if isinstance(page, Absent))
    tried = f" ({', '.join(f'{name}/' for name in variants[:PROBED])} asked)" if variants else ""
    raise IndexUnreachableError(
        f"{base} is not an index that lists {', '.join(projects)}",
        causes=[f"it answers {refused.status} for each of their pages, and has no folders of variants{tried}"],
        hints=[
            "Give the folder that holds <project>/ or <variant>/, as https://download.pytorch.org/whl does",
            "If it lists no folders and holds other variants than those, give the folder of one with --torch-index",
        ],
    )


def read_package_index(place: Place, http: Client, project: str) -> Listing:
    """Read a project page of a package index (PEP 503 or 691)."""
    asking = Asking(place=place, http=http, channel="stable")
    page = asking.page(place.location.below(project, page=True), [project])
    if isinstance(page, Absent):
        return Listing(project=project, wheels=(), failure=f"not there (status {page.status})")
    return asking.listing(project, [page])


def read_page_of_links(place: Place, http: Client, projects: Sequence[str]) -> list[Listing]:
    """Read one HTML page of links, as pip's ``--find-links`` does."""
    asking = Asking(place=place, http=http, channel="stable")
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
