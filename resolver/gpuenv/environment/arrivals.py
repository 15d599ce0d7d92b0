"""How much of a lock is here: what uv's cache holds beforehand, and what arrives while uv works.

The layout of the cache is uv's own business. What is guessed of it decides what a progress bar and a question about
disk space add up, and whether uv is tried without the network first; uv itself decides what it fetches.

uv announces each wheel and its end, but draws bytes only on a terminal of its own; the kernel counts what uv has
written, unpacked. Both together give bytes of wheels: those announced as done, and a share of the one on its way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

from gpuenv.installed.places import site_packages
from gpuenv.lock.model import LockedPackage
from gpuenv.report import Task

_DONE = re.compile(r"^\s*Downloaded (?P<name>[A-Za-z0-9._-]+)")
_UNPACKED = 1.8
"""Bytes written a byte of wheel, as seen for CUDA environments: only the pace of the bar depends on it."""


class Arrivals:
    """Drives one progress bar. ``sizes`` are bytes by normalized name."""

    def __init__(self, task: Task, sizes: Mapping[str, int]) -> None:
        self._task = task
        self._sizes = sizes
        self._done: set[str] = set()
        self._shown = 0

    @property
    def total(self) -> int:
        """Bytes of all wheels expected."""
        return sum(self._sizes.values())

    def hear(self, line: str) -> None:
        """Take a line of uv's standard error."""
        match = _DONE.match(line)
        if match is None:
            return
        name = canonicalize_name(match["name"])
        if name in self._sizes:
            self._done.add(name)
            self._show(sum(self._sizes[each] for each in self._done))

    def written(self, count: int) -> None:
        """Take the bytes uv has written so far. Never shows all of it: what is left is uv's to announce."""
        done = sum(self._sizes[each] for each in self._done)
        on_the_way = self.total - done
        beyond = int(count / _UNPACKED) - done
        self._show(done + max(0, min(beyond, int(on_the_way * 0.98))))

    def finish(self) -> None:
        """Everything is there."""
        self._show(self.total)

    def _show(self, amount: int) -> None:
        if amount > self._shown:
            self._task.advance(amount - self._shown)
            self._shown = amount


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
