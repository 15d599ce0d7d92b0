"""What uv's cache holds already: a guess beforehand, and the truth afterwards.

The layout of the cache is uv's own business. The guess decides what a progress bar and a question about disk space add
up, and whether uv is tried without the network first; uv itself decides what it fetches.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from gpuenv.installed.places import site_packages
from gpuenv.lock.model import LockedPackage


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Where uv keeps its cache when no option says otherwise (uv's documentation, "Caching"); ``None``: not known."""
    if environ.get("UV_CACHE_DIR"):
        return Path(environ["UV_CACHE_DIR"]).absolute()
    if sys.platform == "win32":
        return Path(environ["LOCALAPPDATA"]) / "uv" / "cache" if environ.get("LOCALAPPDATA") else None
    if Path(environ.get("XDG_CACHE_HOME", "")).is_absolute():
        return Path(environ["XDG_CACHE_HOME"]) / "uv"
    return Path(environ["HOME"]) / ".cache" / "uv" if environ.get("HOME") else None


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
