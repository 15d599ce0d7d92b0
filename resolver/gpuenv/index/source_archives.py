"""Which source archives a place lists of a project. Asked only where somebody wants a package built from its source."""

from __future__ import annotations

import hashlib
from pathlib import Path

from packaging.utils import InvalidSdistFilename, parse_sdist_filename

from gpuenv.errors import IndexUnreachableError
from gpuenv.index.config import Place
from gpuenv.index.listed import Skipped
from gpuenv.index.page import read_rows
from gpuenv.index.source import local_folder
from gpuenv.model.source import SourceArchive
from gpuenv.net.client import Absent, Client
from gpuenv.system.files import file_error

_ENDS = (".tar.gz", ".zip")


def read_archives(place: Place, http: Client, project: str) -> tuple[SourceArchive, ...]:
    """What a place lists of a project, as source, each with its hash: one without is not taken.

    Raises what asking for a page raises.
    """
    if place.kind == "find-links" and (folder := local_folder(place.location)) is not None:
        return _of_folder(folder, project)
    where = place.location.below(project, page=True) if place.kind == "package-index" else place.location
    answer = http.get(where)
    if isinstance(answer, Absent):
        return ()
    return parse_archives(answer.body, url=answer.where.url, content_type=answer.content_type, project=project)


def parse_archives(body: bytes, *, url: str, content_type: str, project: str) -> tuple[SourceArchive, ...]:
    """Read the source archives of a project out of a page; raises :class:`~gpuenv.errors.PageFormatError`."""
    found: dict[str, SourceArchive] = {}
    two_hashes: set[str] = set()

    def made(**row: str | None) -> Skipped:
        archive = _archive(row, project)
        if archive is not None:
            before = found.setdefault(archive.url, archive)
            two_hashes.update({archive.url} if before.sha256 != archive.sha256 else ())
        return Skipped(filename=str(row["filename"]), reason="read for its source")

    read_rows(body, url=url, content_type=content_type, made=made)
    return tuple(each for each in found.values() if each.url not in two_hashes)


def _archive(row: dict[str, str | None], project: str) -> SourceArchive | None:
    filename, url, sha256 = str(row["filename"]), row["url"] or "", row["sha256"]
    named = _named(filename, project)
    if named is None or not sha256 or url.partition(":")[0] not in ("https", "http", "file"):
        return None
    return SourceArchive(
        project=project,
        version=named,
        filename=filename,
        url=url,
        sha256=sha256.lower(),
        size=row["size"] if isinstance(row["size"], int) else None,
        requires_python=row["requires_python"],
        upload_time=row["upload_time"],
        yanked=row["yanked"],
    )


def _named(filename: str, project: str) -> str | None:
    """The version in the name of a project's source archive."""
    if not filename.endswith(_ENDS):
        return None
    try:
        name, version = parse_sdist_filename(filename)
    except InvalidSdistFilename:
        return None
    return str(version) if name == project else None


def _of_folder(folder: Path, project: str) -> tuple[SourceArchive, ...]:
    found = []
    try:
        for path in sorted(folder.iterdir()):
            version = _named(path.name, project)
            if version is not None and path.is_file():
                with path.open("rb") as file:
                    sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                found.append(
                    SourceArchive(
                        project=project,
                        version=version,
                        filename=path.name,
                        url=path.absolute().as_uri(),
                        sha256=sha256,
                        size=path.stat().st_size,
                    )
                )
    except OSError as error:
        raise IndexUnreachableError(
            f"the folder {folder} cannot be read", causes=[str(file_error(error, folder, "it cannot be read"))]
        ) from None
    return tuple(found)
