"""What uv's cache holds already: a guess beforehand, and the truth afterwards.

The layout of the cache is uv's own business. The guess decides only what a progress bar and a question about disk space
add up; uv itself decides what it fetches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from gpuenv.environment.uv import Uv
from gpuenv.installed.places import site_packages
from gpuenv.lock.model import LockedPackage
from gpuenv.report import Reporter

_SECONDS = 60.0


def cache_folder(uv: Uv, cwd: Path, reporter: Reporter) -> Path:
    """Where uv keeps its cache when it is not told."""
    done = uv.run(["cache", "dir"], cwd=cwd, deadline=_SECONDS, reporter=reporter)
    return Path(done.stdout.strip()) if done.returncode == 0 and done.stdout.strip() else cwd


def not_cached(cache: Path, packages: Sequence[LockedPackage]) -> tuple[str, ...]:
    """Names of packages whose version does not seem to be in uv's cache, sorted. Empty where the layout is unknown.

    Seen in uv 0.13: ``wheels-v8/KIND/SOURCE/NAME/VERSION-TAGS.http`` (``.rev`` for a local file), the tags hashed when
    they are long.
    """
    names = {each.name for each in packages}
    have: dict[str, set[str]] = {name: set() for name in names}
    for path in cache.glob("wheels-v*/*/*/*/*"):
        if path.suffix in (".http", ".rev") and path.parent.name in names:
            have[path.parent.name].add(path.name)
    missing = (
        each.name for each in packages if not any(name.startswith(f"{each.version}-") for name in have[each.name])
    )
    return tuple(sorted(missing))


def unpacked_since(environment: Path, moment: float) -> tuple[str, ...]:
    """Names of installed packages whose files were unpacked after ``moment`` (seconds since the epoch), sorted.

    Hard links keep the time of unpacking. Where uv had to copy, every package seems new.
    """
    site = site_packages(environment)
    if site is None:
        return ()
    found = set()
    for wheel in site.glob("*.dist-info/WHEEL"):
        # File systems keep time in steps of some milliseconds, so a file may seem a little older than it is.
        if wheel.stat().st_mtime >= moment - 0.05:
            found.add(canonicalize_name(wheel.parent.name.removesuffix(".dist-info").partition("-")[0]))
    return tuple(sorted(found))
