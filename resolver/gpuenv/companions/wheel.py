"""Reads the libraries of one wheel, local or remote, whatever their size: a piece at a time, one library at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from gpuenv.companions.library import is_library, make_facts, read_raw
from gpuenv.dataclass import dataclass
from gpuenv.errors import GpuenvError
from gpuenv.index.wheelfile import WheelFile
from gpuenv.index.zipdir import Member
from gpuenv.installed.fatbin import Data, FatbinError, mapped
from gpuenv.model.library import PackageFacts
from gpuenv.system.files import file_error, scratch

IN_MEMORY = 32 * 1024 * 1024
"""A library up to this size is unpacked in memory; a larger one into a temporary file, of which pages are read."""
MOST_UNPACKED = 16 * 1024**3
"""No wheel's libraries are larger together: beyond that an archive is made to fill the disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Libraries:
    """The libraries of a wheel by its directory: what reading them costs is known before they are read."""

    members: tuple[Member, ...]

    @property
    def packed(self) -> int:
        """Bytes that have to be fetched."""
        return sum(each.packed for each in self.members)

    @property
    def until(self) -> int:
        """Where the last of them ends, if they are most of what stands from the first to there; else 0."""
        first = min((each.offset for each in self.members), default=0)
        last = max((each.offset + each.packed for each in self.members), default=0)
        return last if self.packed * 2 >= last - first else 0

    @property
    def unpacked(self) -> int:
        """Bytes that they unpack to."""
        return sum(each.unpacked for each in self.members)


def list_libraries(wheel: WheelFile) -> Libraries:
    """Find the libraries of a wheel in its directory."""
    return Libraries(members=tuple(each for each in wheel.members() if is_library(each.name)))


def read_package(
    wheel: WheelFile, libraries: Libraries, *, project: str, version: str, sha256: str = ""
) -> PackageFacts:
    """Read what the libraries of a wheel hold. A file that only has a library's name, or a damaged one, is among
    ``unread``.

    Raises :class:`~gpuenv.errors.IntegrityError` where the wheel itself is damaged, and what a download raises.
    """
    if libraries.unpacked > MOST_UNPACKED:
        raise GpuenvError(
            f"the libraries of {wheel.name} would unpack to {libraries.unpacked / 1e9:.0f} GB",
            causes=["no wheel for GPUs is that large: it may be made to fill the disk"],
        )
    raws, unread = [], []
    for member in libraries.members:
        with _contents(wheel, member, libraries.until) as data:
            try:
                raws.append(read_raw(member.name, data))
            except FatbinError as error:
                unread.append(f"{member.name}: {error}")
    return PackageFacts(
        project=project,
        version=version,
        filename=wheel.name,
        sha256=sha256,
        libraries=make_facts(raws),
        unread=tuple(sorted(unread)),
        date=datetime.now(UTC).date().isoformat(),
        source="wheel",
    )


def hash_of(path: Path) -> str:
    """The sha256 of a wheel on the disk."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise file_error(error, path, f"{path.name} cannot be read") from None


@contextmanager
def _contents(wheel: WheelFile, member: Member, until: int) -> Iterator[Data]:
    if member.unpacked <= IN_MEMORY:
        body = bytearray()
        for piece in wheel.pieces(member, until=until):
            body += piece
        yield bytes(body)
        return
    with scratch("library") as folder:
        path = folder / "library"
        try:
            with path.open("wb") as file:
                for piece in wheel.pieces(member, until=until):
                    file.write(piece)
        except OSError as error:
            raise file_error(error, path, f"{member.name} cannot be unpacked") from None
        with mapped(path) as view:
            yield view
