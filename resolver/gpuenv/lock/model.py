"""What a lock holds: exact wheels, the inputs they follow from, and the decision with its reasons.

A lock is a pure function of its :class:`LockInputs` (the law). Every value here is canonical once made: packages sorted
by name, times in one form, so that two locks of the same content are equal and have the same bytes.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection
from dataclasses import field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Literal, Self
from urllib.parse import unquote

from gpuenv.dataclass import dataclass
from gpuenv.model.decision import GpuSupport
from gpuenv.model.machine import Arch, ComputeCapability, Os
from gpuenv.model.profile import Accelerator
from gpuenv.model.wheel import Channel, SourceKind

HashOrigin = Literal["index", "first-download", "computed", "resolver"]
"""Where a hash came from. ``index``: the index states it. ``first-download``: the index states none, the first download
was hashed, and every later one is compared with it. ``computed``: of a file on this machine. ``resolver``: uv reported
it for a package of the package index, stated there or computed from uv's own download: uv does not say which."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_sha256(text: str) -> bool:
    """Whether ``text`` is a sha256 in lower-case hexadecimal."""
    return _SHA256.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineTarget:
    """The machine a lock is made for, as far as it decides what may be installed there."""

    os: Os
    arch: Arch
    libc: str | None
    """The least libc that serves every wheel of the lock, ``"glibc 2.28"``; ``None`` on Windows and macOS."""
    python: str
    """``"3.12"``."""
    compute_capabilities: tuple[ComputeCapability, ...]
    """Of the GPUs in scope, each once, ascending. Empty without a GPU."""
    driver: str | None
    """The NVIDIA driver's version, ``None`` without one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "compute_capabilities", tuple(sorted(set(self.compute_capabilities))))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInputs:
    """The inputs of the law: profile, requirements, machine target, index snapshot, cutoff time, knowledge version."""

    profile: str
    profile_digest: str
    """sha256 of the profile's meaning: two files that ask the same have the same digest."""
    target: MachineTarget
    snapshot: str
    """sha256 over the rows the torch sources listed."""
    sources: tuple[str, ...]
    """Where the rows came from, credentials removed, in the order they were asked."""
    family_hosts: tuple[str, ...] | None = None
    """Hosts that the family's files lie on, ``file`` for a folder; ``None`` in locks of an early gpuenv."""
    package_hosts: tuple[str, ...] | None = None
    """Hosts that the other packages' files lie on."""
    cutoff: str | None
    """Nothing uploaded after this time was considered (RFC 3339, UTC); ``None``: no cutoff."""
    knowledge: str
    options: tuple[str, ...] = ()
    """Options that shaped the decision, as they were typed (``--variant cu128``), sorted."""
    requirements: tuple[str, ...] = ()
    """What the project asked for (:attr:`~gpuenv.model.asked.Asked.recorded`), sorted; no file or line."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoff", canonical_time(self.cutoff))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedDecision:
    """The decision as a lock remembers it, in the order of the file."""

    torch: str
    accelerator: Literal["cuda", "cpu"]
    wish: Accelerator
    """What the profile asked for: a CPU lock that somebody asked for is not one that a machine without GPU got."""
    variant: str
    channel: Channel
    source: SourceKind
    family: tuple[str, ...] = ()
    """What was decided with torch, and torch: ``torchvision==0.25.0+cu128``."""
    single_source: bool = False
    sass: tuple[str, ...] = ()
    ptx: tuple[str, ...] = ()
    kernels_from: str = ""
    """``table: …`` or ``wheel: …``: where the architectures were read."""
    least_driver: str | None = None
    gpus: tuple[GpuSupport, ...] = ()
    because: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    companions: tuple[str, ...] = ()
    """The packages with code for GPUs that were chosen with torch, each with where it is from and the reason."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "gpus", tuple(sorted(self.gpus, key=lambda gpu: gpu.index)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPackage:
    """One package, which is one wheel. Exactly one of ``url`` and ``path`` is set."""

    name: str
    """Normalized (PEP 503)."""
    version: str
    filename: str
    url: str | None = None
    path: str | None = None
    """Absolute, or relative to the folder of the lock, with ``/``."""
    sha256: str
    size: int | None = None
    upload_time: str | None = None
    """RFC 3339, UTC."""
    hash_origin: HashOrigin
    source: SourceKind
    family: bool = False
    """Whether the name may come from the torch source only."""
    requires: tuple[str, ...] = ()
    """Requires-Dist as far as it is known, as written."""
    git: str | None = None
    """torch's git commit, where it was read."""
    signed: bool = False
    """Whether the address needs a query that no lock may hold: a page of the source has a new one."""
    dependencies: tuple[str, ...] | None = None
    """Names of the packages that this one needs here (PEP 751); ``None`` in locks of an early gpuenv."""
    unknown: tuple[tuple[str, str], ...] = ()
    """Tables of a later standard, such as ``variants-json`` (PEP 825), by key as JSON: they are carried through."""
    row: int | None = field(default=None, compare=False)
    """Its place in the file it was read from."""

    def __post_init__(self) -> None:
        if (self.url is None) == (self.path is None):
            raise ValueError(f"{self.name}: exactly one of url and path must be set")
        if not is_sha256(self.sha256):
            raise ValueError(f"{self.name}: not a sha256: {self.sha256!r}")
        object.__setattr__(self, "upload_time", canonical_time(self.upload_time))

    @property
    def location(self) -> str:
        """The URL or the path, whichever is set."""
        return self.url if self.url is not None else str(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """A whole lock. ``command`` is what regenerates it, shown in the file's first line."""

    command: str
    inputs: LockInputs
    decision: LockedDecision
    packages: tuple[LockedPackage, ...]

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.packages, key=lambda package: package.name))
        for one, other in pairwise(ordered):
            if one.name == other.name:
                raise ValueError(f"{one.name} is locked twice")
        object.__setattr__(self, "packages", ordered)

    def without(self, names: Collection[str]) -> Self:
        """The lock without some of its packages."""
        return replace(self, packages=tuple(package for package in self.packages if package.name not in names))

    @property
    def by_name(self) -> dict[str, LockedPackage]:
        """Packages by normalized name."""
        return {package.name: package for package in self.packages}

    @property
    def family(self) -> tuple[LockedPackage, ...]:
        """The packages that come from the torch source, torch first."""
        members = (package for package in self.packages if package.family)
        return tuple(sorted(members, key=lambda package: (package.name != "torch", package.name)))


def canonical_time(text: str | None) -> str | None:
    """Write a time as RFC 3339 in UTC, without a fraction where it is zero.

    >>> canonical_time("2026-01-21T20:02:47.000+01:00")
    '2026-01-21T19:02:47Z'

    A time without an offset is UTC. Raises ``ValueError`` for anything else.
    """
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat().removesuffix("+00:00") + "Z"


def _is_absolute(path: PurePosixPath) -> bool:
    """Whether a path in slashes begins at a root, or on a drive of Windows."""
    return path.is_absolute() or path.as_posix()[1:3] == ":/"


def filename_of(location: str) -> str:
    """The file name at the end of a URL or path.

    >>> filename_of("https://download.pytorch.org/whl/cu128/torch-2.10.0%2Bcu128-cp312-cp312-win_amd64.whl#sha256=0")
    'torch-2.10.0+cu128-cp312-cp312-win_amd64.whl'
    """
    if "://" in location:
        return unquote(location.partition("#")[0].partition("?")[0].rsplit("/", 1)[-1])
    return location.replace("\\", "/").rsplit("/", 1)[-1]


def near(lock: Lock, folder: PurePosixPath, *, project: PurePosixPath) -> Lock:
    """The lock as it is written into ``folder``: wheels inside ``project`` by relative path, others by absolute.

    A project that is cloned or moved as a whole keeps its lock. Both folders must be absolute.
    """

    def relative(package: LockedPackage) -> LockedPackage:
        path = None if package.path is None else PurePosixPath(package.path)
        if path is None or not _is_absolute(path) or not path.is_relative_to(project):
            return package
        # Below one root, as a drive of Windows is none to POSIX.
        return replace(package, path=posixpath.relpath(f"/{path}", f"/{folder}"))

    return replace(lock, packages=tuple(relative(package) for package in lock.packages))


def anchored(lock: Lock, folder: PurePosixPath) -> Lock:
    """The lock with every relative path made absolute: it was read from ``folder`` and will be used from elsewhere."""

    def absolute(package: LockedPackage) -> LockedPackage:
        if package.path is None or _is_absolute(PurePosixPath(package.path)):
            return package
        return replace(package, path=posixpath.normpath(folder / package.path))

    return replace(lock, packages=tuple(absolute(package) for package in lock.packages))
