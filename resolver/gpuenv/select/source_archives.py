"""Chooses the source archive that a package is built from; pure."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gpuenv.metadata import parse_range, parse_version
from gpuenv.model.source import SourceArchive
from gpuenv.select.rules import moment


def choose_archive(
    archives: Iterable[SourceArchive], specifier: SpecifierSet, *, python: str | None, cutoff: str | None = None
) -> SourceArchive | None:
    """The newest archive that was asked for and that this Python may build; ``python`` ``None`` is any.

    No withdrawn one, no pre-release that nobody named, none uploaded after ``cutoff``. Of one version the gzipped tar
    file, which the standard asks for.
    """
    fitting = [
        (version, each.filename.endswith(".tar.gz"), each.url, each)
        for each in archives
        if (version := parse_version(each.version)) is not None and _may(each, version, specifier, python, cutoff)
    ]
    return max(fitting, key=lambda row: row[:3])[3] if fitting else None


def _may(
    archive: SourceArchive, version: Version, specifier: SpecifierSet, python: str | None, cutoff: str | None
) -> bool:
    if archive.yanked is not None or (version.is_prerelease and not specifier.prereleases):
        return False
    if not specifier.contains(version, prereleases=True):
        return False
    if cutoff is not None and (
        archive.upload_time is None or moment(archive.upload_time, end=False) > moment(cutoff, end=True)
    ):
        return False
    allowed = parse_range(archive.requires_python or "")
    return python is None or allowed is None or allowed.contains(python.removesuffix("t"))
