"""RECORDs remembered by the hash of their wheel, so that uv's cache cannot vouch for itself.

A wheel's RECORD is unpacked into uv's cache beside the files it lists, so whoever changes a file there can change the
row too. The first build that installs a wheel remembers a digest of its rows under the wheel's sha256 (uv has just
checked that hash, if it fetched the wheel); every later build compares.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from gpuenv.errors import GpuenvError, IntegrityError
from gpuenv.installed.compare import Difference
from gpuenv.installed.distribution import Distribution
from gpuenv.report import Reporter
from gpuenv.system.files import present, read_text, write_atomic

_INSTALLERS = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json", "uv_build.json"})
"""Files that installers write, and no wheel brings."""

SHOWN_DIFFERENCES = 8
"""Rows of a comparison to show."""


def check_records(
    found: Iterable[Distribution],
    wheels: Mapping[str, str],
    *,
    state: Path,
    reporter: Reporter,
    fresh: Collection[str] = (),
) -> tuple[Difference, ...]:
    """Compare installed RECORDs with those remembered, and remember the new ones.

    ``wheels`` maps normalized names to the sha256 of the locked wheel. ``state`` is gpuenv's own folder. ``fresh`` are
    packages that uv has just fetched, and hashed, with nothing of them in its cache: what they say is right.
    """
    folder = state / "records"
    differences = []
    for dist in found:
        wheel = wheels.get(dist.name)
        if wheel is None or dist.problem:
            continue
        seen, known = rows_digest(dist), _remembered(folder / wheel, reporter)
        if known is None or (known != seen and dist.name in fresh):
            _remember(folder / wheel, seen)
        elif known != seen:
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


def not_as_locked(differences: Sequence[Difference], *, target: Path) -> IntegrityError:
    """Make the error to raise for an installation that is not its lock's."""
    shown = [str(each) for each in differences[:SHOWN_DIFFERENCES]]
    if len(differences) > len(shown):
        shown.append(f"and {len(differences) - len(shown)} more")
    clashing = sorted({each.package for each in differences if each.kind == "clash"})
    names = sorted({each.package for each in differences if each.package} - set(clashing))
    hints = [f"Clear what uv has cached and try again: `uv cache clean {' '.join(names)}`"] if names else []
    hints += [f"Take another version of {name}, or leave out what asks for it" for name in clashing]
    return IntegrityError(
        f"what uv installed is not what the locked wheels say; {target} was not built", causes=shown, hints=hints
    )


def _remembered(path: Path, reporter: Reporter) -> str | None:
    """The digest in a file of ours; ``None`` where there is none, or none that can be believed."""
    if not present(path):
        return None
    try:
        digest, _, check = read_text(path, what="the remembered RECORD", most=1000).strip().partition(" ")
        if check == _checksum(path.name, digest):
            return digest
        reason = "it does not have its checksum"
    except GpuenvError as error:
        reason = "; ".join(error.causes)
    reporter.detail(f"dropping the remembered RECORD {path}: {reason}")
    return None


def _remember(path: Path, digest: str) -> None:
    """Write once and whole; that it cannot be remembered is no reason to fail a build."""
    with contextlib.suppress(GpuenvError):
        write_atomic(path, f"{digest} {_checksum(path.name, digest)}\n", what="the remembered RECORD")


def _checksum(wheel: str, digest: str) -> str:
    return hashlib.sha256(f"{wheel} {digest}".encode()).hexdigest()
