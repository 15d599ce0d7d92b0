"""Wheels that were picked, as the packages of a lock: each with its place, its hash, and where that hash came from."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from gpuenv.dataclass import dataclass
from gpuenv.environment.compiling import Picked, as_wheel
from gpuenv.environment.single_source import SingleSourceIndex
from gpuenv.errors import IntegrityError
from gpuenv.lock.audit import same_file
from gpuenv.lock.making import local_path, package_of
from gpuenv.lock.model import HashOrigin, Lock, LockedPackage, is_sha256
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.net.location import Location, public


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """What a download or a local file came to."""

    sha256: str
    size: int
    origin: HashOrigin


HashOf = Callable[[Wheel], Hashed]
"""Hashes a wheel whose row says no hash."""


def family_package(wheel: Wheel, contents: WheelContents, *, previous: Lock | None, hash_of: HashOf) -> LockedPackage:
    """A member of the family as its row and its METADATA say it is."""
    before = _before(previous, wheel.project, wheel.url)
    if wheel.sha256 is not None:
        # What an index says of a folder's files nobody says: those hashes were computed when the folder was read.
        local = local_path(wheel.url) is not None
        known = Hashed(sha256=wheel.sha256, size=wheel.size or 0, origin="computed" if local else "index")
        if not known.size and before is not None:
            known = replace(known, size=before.size or 0)
    elif before is not None and local_path(wheel.url) is None:
        known = Hashed(sha256=before.sha256, size=before.size or 0, origin=before.hash_origin)
    else:
        known = hash_of(wheel)
    return package_of(
        wheel,
        sha256=known.sha256,
        hash_origin=known.origin,
        size=known.size or wheel.size,
        requires=contents.requires_dist or (),
        git=contents.git,
    )


def _before(previous: Lock | None, name: str, url: str) -> LockedPackage | None:
    """The same file in an earlier lock: same place, not same name, for one name stands in several folders."""
    held = None if previous is None else previous.by_name.get(name)
    return held if held is not None and same_file(held.location, url) else None


def check_unchanged(package: LockedPackage, previous: Lock | None) -> None:
    """Refuse another file under the address of one that was locked before."""
    before = _before(previous, package.name, package.location)
    if before is None or before.sha256 == package.sha256:
        return
    raise IntegrityError(
        f"{package.filename} is not the file that was locked, under the same address",
        causes=(
            f"locked: sha256 {before.sha256} ({before.hash_origin})",
            f"now: sha256 {package.sha256} at {public(package.location)} ({package.hash_origin})",
            "an index that writes a file again under its old name, or somebody else who does",
        ),
        hints=("Compare with a second machine; if the new file is right, delete the lock and lock again",),
    )


def _named_by_address(picked: Picked, own: Requirement, hash_of: HashOf) -> LockedPackage:
    """A wheel that a person names by its address. Its hash is the one they name, else the one that its file has."""
    path = local_path(str(own.url).partition("#")[0])
    url = public(str(own.url).partition("#")[0]) if path is None else None
    row = replace(as_wheel(picked), url=url or Location.of_path(Path(str(path)).absolute()).url, sha256=None)
    stated = re.search(r"[#&]sha256=([0-9a-f]{64})(?:&|\Z)", str(own.url))
    if path is None and (stated is not None or is_sha256(picked.sha256)):
        known = Hashed(sha256=stated[1] if stated else picked.sha256, size=picked.size or 0, origin="resolver")
    else:
        known = hash_of(row)
    if stated is not None and known.sha256 != stated[1]:
        raise IntegrityError(
            f"{picked.filename} is not the file that was named",
            causes=(f"named: sha256 {stated[1]}", f"it is {known.sha256}"),
        )
    return LockedPackage(
        name=picked.name, version=picked.version, filename=picked.filename, url=url, path=path, sha256=known.sha256,
        size=known.size or None, hash_origin=known.origin, source="package-index" if path is None else "find-links",
    )  # fmt: skip


def other_package(
    picked: Picked, own: Requirement | None, index: SingleSourceIndex | None, hash_of: HashOf
) -> LockedPackage:
    """A package outside the family, as uv picked it; ``own`` is the requirement that names its wheel by an address."""
    if picked.url is None and (own is None or picked.path is None):
        raise IntegrityError(f"uv answered with a file of this machine for {picked.name}: {picked.filename}")
    if own is not None:
        return _named_by_address(picked, own, hash_of)
    assert picked.url is not None
    if index is not None:
        row = index.row(picked.url)
        known = Hashed(sha256=row.sha256, size=row.size or 0, origin="index") if row.sha256 else hash_of(row)
        return package_of(row, sha256=known.sha256, hash_origin=known.origin, size=known.size or row.size, family=False)
    path = local_path(picked.url)
    stated = picked.size is not None and urlsplit(picked.url).scheme != "file"
    return LockedPackage(
        name=picked.name,
        version=picked.version,
        filename=picked.filename,
        url=picked.url if path is None else None,
        path=path,
        sha256=picked.sha256,
        size=picked.size,
        upload_time=picked.upload_time,
        hash_origin="index" if stated else "resolver",
        source="package-index" if path is None else "find-links",
        signed=picked.signed,
    )
