"""An archive of source on an index: what a package is built from where nobody built it."""

from __future__ import annotations

from gpuenv.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceArchive:
    """One source distribution. ``sha256`` is the index's, that of the file itself where it lies in a folder."""

    project: str
    version: str
    filename: str
    url: str
    sha256: str
    size: int | None = None
    requires_python: str | None = None
    upload_time: str | None = None
    yanked: str | None = None
