"""What is installed in an environment now, and who changed what since it was built."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from packaging.version import InvalidVersion, Version

from gpuenv.environment.compare import Difference, compare
from gpuenv.environment.guard import FILES
from gpuenv.environment.marker import FAILED_NOTE, MARKER, Marker, read_marker
from gpuenv.environment.tree import Distribution, distributions, site_packages
from gpuenv.net.location import redact

ChangeKind = Literal["added", "removed", "changed", "replaced", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One distribution in an environment. ``when`` is the time its RECORD was written (RFC 3339, UTC)."""

    name: str
    version: str
    installer: str
    """As INSTALLER says: ``uv``, ``pip``, ``conda``; empty where there is none."""
    origin: str
    """The URL of ``direct_url.json``, credentials removed; empty for one that came from an index or a lock."""
    record: str
    when: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One package that is not as it was built, or not as it is locked.

    ``replaced`` is the same version with other contents. ``by`` says who did it as far as it left a trace
    (``pip, from file:///…``), ``when`` is empty for a package that is gone.
    """

    name: str
    kind: ChangeKind
    expected: str | None
    found: str | None
    family: bool
    by: str = ""
    when: str = ""
    detail: str = ""


def installed(environment: Path) -> tuple[Installed, ...]:
    """List what is installed, by name. Reads the ``.dist-info`` folders; no interpreter is started.

    Distributions without ``.dist-info`` (old ``.egg-info``, conda's own packages) are not seen.
    """
    site = site_packages(environment)
    if site is None:
        return ()
    return tuple(_installed(environment, each) for each in distributions(environment, site))


def drift(
    environment: Path,
    *,
    expected: Mapping[str, str] | None = None,
    family: Collection[str] = (),
    marker: Marker | None = None,
) -> tuple[Change, ...]:
    """Compare what is installed with a set of packages: those of a lock (``expected``), else those it was built with.

    ``expected`` maps normalized names to versions. With the environment's own marker (read from it when not given) a
    package that was replaced by another build of the same version is seen too. Sorted: the family first, then by name.
    """
    marker = marker if marker is not None else read_marker(environment)
    built = {each.name: each for each in marker.packages} if marker else {}
    wanted = dict(expected) if expected is not None else {name: each.version for name, each in built.items()}
    guarded = {*family, *(name for name, each in built.items() if each.family)}
    have = {each.name: each for each in installed(environment)}
    changes = []
    for name in wanted.keys() | have.keys():
        seen, before = have.get(name), built.get(name)
        record = before.record if before and before.version == wanted.get(name) else ""
        change = _change(name, wanted.get(name), seen, record=record, family=name in guarded)
        if change is not None:
            changes.append(change)
    return tuple(sorted(changes, key=lambda each: (not each.family, each.name)))


def damage(environment: Path, *, full: bool = False) -> tuple[Difference, ...]:
    """Compare the files of an environment in use with the RECORDs in it; bytecode is allowed, ``full`` hashes all.

    Says nothing of which packages should be there: that is :func:`drift`.
    """
    site = site_packages(environment)
    found = distributions(environment, site) if site else ()
    compared = compare(
        environment,
        expected={each.name: each.version for each in found},
        full=full,
        compiled=True,
        ours=FILES | {MARKER, FAILED_NOTE},
    )
    return compared.differences


def _change(name: str, wanted: str | None, seen: Installed | None, *, record: str, family: bool) -> Change | None:
    if seen is None:
        return Change(name=name, kind="removed", expected=wanted, found=None, family=family)
    kind: ChangeKind
    detail = ""
    if seen.problem:
        kind, detail = "broken", seen.problem
    elif wanted is None:
        kind = "added"
    elif not _same(wanted, seen.version):
        kind = "changed"
    elif record and record != seen.record:
        kind, detail = "replaced", "the same version with other contents"
    else:
        return None
    by = f"{seen.installer or 'an unknown installer'}{f', from {seen.origin}' if seen.origin else ''}"
    return Change(
        name=name, kind=kind, expected=wanted, found=seen.version, family=family, by=by, when=seen.when, detail=detail
    )


def _same(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _installed(environment: Path, dist: Distribution) -> Installed:
    info = environment / dist.info
    return Installed(
        name=dist.name,
        version=dist.version,
        installer=_text(info / "INSTALLER"),
        origin=_origin(info / "direct_url.json"),
        record=dist.record,
        when=_when(info / "RECORD"),
        problem=dist.problem,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()[:80]
    except OSError:
        return ""


def _origin(path: Path) -> str:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return ""
    url = data.get("url") if isinstance(data, dict) else None
    return redact(url) if isinstance(url, str) else ""


def _when(path: Path) -> str:
    try:
        moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return ""
    return moment.isoformat(timespec="seconds").removesuffix("+00:00") + "Z"
