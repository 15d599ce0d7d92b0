"""What an index lists and what a wheel contains."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import field, fields
from typing import Literal

from gpuenv.dataclass import dataclass

Channel = Literal["stable", "nightly", "test"]
SourceKind = Literal["pytorch", "mirror", "package-index", "find-links"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """One row of an index page, or one file of a folder.

    The identity of a wheel is its ``url``: the same file name stands in several folders of PyTorch's index with
    different bytes. ``variant`` is the folder it stands in (``cu128``, ``cpu``), ``None`` for a file at a channel's
    root or of a source without variants. ``sha256`` is ``None`` where the index gives none (every nightly).
    ``yanked`` is ``None`` for a wheel that is not yanked, else the reason, possibly empty (PEP 592).
    """

    project: str
    """Normalized project name (PEP 503)."""
    version: str
    filename: str
    url: str
    source: SourceKind
    channel: Channel
    variant: str | None
    sha256: str | None = None
    size: int | None = None
    requires_python: str | None = None
    metadata_sha256: str | None = None
    """The sha256 of the PEP 658 metadata file at ``url + ".metadata"``; ``None`` where none is offered.
    ``""`` where one is offered without a hash."""
    upload_time: str | None = None
    """RFC 3339, UTC. On PyTorch's index the time of the last copy, not of the build."""
    yanked: str | None = None


def wheels_of(columns: Sequence[Sequence[object]]) -> tuple[Wheel, ...]:
    """Make wheels of columns, one a field, in the order of the fields.

    The fields are set one column after the other, by what a constructor would call for each row: a third of its time,
    and a page has three thousand rows.
    """
    rows = [object.__new__(Wheel) for _ in columns[0]]
    for each, column in zip(fields(Wheel), columns, strict=True):
        deque(map(vars(Wheel)[each.name].__set__, rows, column), maxlen=0)
    return tuple(rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelContents:
    """What was learned of the inside of a wheel. ``None`` means "not looked at", never "none"."""

    cuda: str | None = None
    """CUDA version of the build (``"12.8"``), ``""`` for a build without CUDA."""
    sass: tuple[str, ...] | None = None
    """Real architectures with machine code, ``("sm_75", …)``, ascending."""
    ptx: tuple[str, ...] | None = None
    """Virtual architectures with PTX, ``("compute_120",)``, ascending."""
    requires_dist: tuple[str, ...] | None = None
    """Requirement strings of METADATA, as written."""
    requires_python: str | None = None
    git: str | None = None
    """torch's git commit, from ``torch/version.py``."""
    origin: Literal["table", "wheel", "metadata"] = "wheel"
    """``wheel``: read out of the file itself. ``metadata``: PEP 658 file. ``table``: recorded earlier."""
    detail: str = ""
    """Where exactly it was read, for a person: member name, table row, date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One source that was asked for one project, and how it ended (empty ``failure``: it answered)."""

    project: str
    source: SourceKind
    location: str
    """URL or folder, credentials removed."""
    configured_by: str
    """Where the location came from: ``default``, ``--torch-index``, ``PIP_FIND_LINKS``, ``/etc/pip.conf`` …"""
    failure: str = ""
    wheels: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """Everything the sources offered, in the order it was asked for; the decision's second argument."""

    wheels: tuple[Wheel, ...]
    attempts: tuple[Attempt, ...] = ()
    identity: Callable[[], str] = field(default=lambda: "", compare=False, repr=False)

    @property
    def snapshot(self) -> str:
        """sha256 over the canonical rows: the identity of the index as it was seen. A lock holds it; a decision does
        without, so that it is computed when somebody asks."""
        return self.identity()
