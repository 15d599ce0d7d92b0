"""RECORDs remembered by the hash of their wheel, so that uv's cache cannot vouch for itself.

A wheel's RECORD is unpacked into uv's cache beside the files it lists, so whoever changes a file there can change the
row too. The first build that installs a wheel remembers a digest of its rows under the wheel's sha256 (uv has just
checked that hash, if it fetched the wheel); every later build compares.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from gpuenv.errors import GpuenvError
from gpuenv.installed.compare import Difference
from gpuenv.installed.distribution import Distribution
from gpuenv.system.files import present, read_text, write_atomic

_INSTALLERS = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json"})
"""Files that installers write, and no wheel brings."""


def check_records(found: Iterable[Distribution], wheels: Mapping[str, str], *, state: Path) -> tuple[Difference, ...]:
    """Compare installed RECORDs with those remembered, and remember the new ones.

    ``wheels`` maps normalized names to the sha256 of the locked wheel. ``state`` is gpuenv's own folder.
    """
    folder = state / "records"
    differences = []
    for dist in found:
        wheel = wheels.get(dist.name)
        if wheel is None or dist.problem:
            continue
        seen = rows_digest(dist)
        if not present(folder / wheel):
            _remember(folder / wheel, seen)
            continue
        known = read_text(folder / wheel, what="the remembered RECORD").strip()
        if known != seen:
            detail = "it is not the RECORD this wheel had when it was first installed here"
            differences.append(Difference(kind="record", package=dist.name, path=f"{dist.info}/RECORD", detail=detail))
    return tuple(differences)


def rows_digest(dist: Distribution) -> str:
    """A digest of the rows a wheel brought, whatever the place and the Python it was installed for."""
    prefix = dist.info.rsplit("/", 1)[0] + "/"
    own = {f"{dist.info}/{name}" for name in _INSTALLERS}
    rows = sorted(
        f"{row.path[len(prefix) :]},{row.sha256},{row.size}\n"
        for row in dist.rows
        if row.path.startswith(prefix) and row.path not in own
    )
    return hashlib.sha256("".join(rows).encode()).hexdigest()


def _remember(path: Path, digest: str) -> None:
    """Write once and whole; that it cannot be remembered is no reason to fail a build."""
    with contextlib.suppress(GpuenvError):
        write_atomic(path, digest + "\n", what="the remembered RECORD")
