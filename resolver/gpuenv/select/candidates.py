"""Wheels as the decision sees them: name taken apart, build told, candidate named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Literal

from packaging.version import Version

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge
from gpuenv.knowledge.names import platform_of_filename
from gpuenv.metadata import parse_version
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.select.target import TagSet

Build = Literal["cuda", "cpu", "other", "unknown"]

_NIGHTLY_DAY = re.compile(r"\.dev(20\d{6})(?:\D|$)")
_OTHER_LOCAL = re.compile(r"(rocm|xpu)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogEntry:
    """One wheel of the catalog.

    ``variant`` is the build (``cu128``, ``cpu``), ``None`` where neither name nor folder nor table tells it.
    ``pythons`` are the interpreters of the request it runs on, best first; empty before the tags were checked.
    """

    wheel: Wheel
    version: Version
    tags: TagSet
    build_tag: tuple[int, str]
    variant: str | None
    build: Build
    pythons: tuple[str, ...] = ()

    @property
    def day(self) -> str | None:
        """``20260102`` for a nightly."""
        return nightly_day(self.wheel.version)

    @property
    def origin(self) -> tuple[str, str]:
        """Source and channel: a family is of one."""
        return (self.wheel.source, self.wheel.channel)

    @property
    def sibling_key(self) -> tuple[str, ...]:
        """The same for the wheels of one build that differ by Python alone."""
        wheel = self.wheel
        return (wheel.project, wheel.version, wheel.source, wheel.channel, wheel.variant or "", self.tags.platform)


def label(wheel: Wheel) -> str:
    """Name the candidate of a wheel: ``torch 2.10.0+cu128``; folder and channel added where the version hides them."""
    text = f"{wheel.project} {wheel.version}"
    notes = []
    if wheel.variant and "+" not in wheel.version:
        notes.append(wheel.variant)
    if wheel.channel == "test":
        notes.append("test channel")
    return f"{text} ({', '.join(notes)})" if notes else text


@lru_cache(maxsize=50_000)  # a decision is made again for each wish that may stand in the way, on the same page
def parse_entry(wheel: Wheel, knowledge: Knowledge) -> CatalogEntry | None:
    """Take a wheel's names apart; ``None`` where file name or version cannot be read."""
    version = parse_version(wheel.version)
    parts = wheel.filename.removesuffix(".whl").split("-")
    if version is None or len(parts) not in (5, 6) or not wheel.filename.endswith(".whl"):
        return None
    tags = TagSet(*parts[-3:])
    build, variant = build_of(wheel, tags.platform, knowledge)
    return CatalogEntry(
        wheel=wheel,
        version=version,
        tags=tags,
        build_tag=_build_tag(parts[2]) if len(parts) == 6 else (0, ""),
        variant=variant,
        build=build,
    )


@lru_cache(maxsize=50_000)
def public_version(text: str) -> Version:
    """The version without its local part, for comparing releases across variants."""
    return Version(text.partition("+")[0])


@lru_cache(maxsize=50_000)
def nightly_day(version: str) -> str | None:
    """The date in a nightly's version; ``None`` where there is none, or no such day.

    >>> nightly_day("2.11.0.dev20260102+cu128")
    '20260102'
    """
    match = _NIGHTLY_DAY.search(version)
    if match is None:
        return None
    try:
        date.fromisoformat(match[1])
    except ValueError:
        return None
    return match[1]


def build_of(wheel: Wheel, platform: str, knowledge: Knowledge) -> tuple[Build, str | None]:
    """Tell the build of a wheel from its folder, its local version, or the table of the default package index."""
    local = wheel.version.partition("+")[2]
    if wheel.variant is not None:
        return _by_folder(wheel.variant, local, knowledge)
    if local:
        named = _named(local, knowledge)
        return named if named[0] != "unknown" or not _OTHER_LOCAL.match(local) else ("other", local)
    if platform.startswith("macosx"):
        return "cpu", "cpu"  # no wheel of torch for macOS has CUDA since 10.2 ended there
    if wheel.project == "torch" and wheel.source != "find-links":
        # A file at the root of PyTorch's index is the one of the default package index.
        released = platform_of_filename(wheel.filename)
        return _named((released and knowledge.package_index_variant(wheel.version, released)) or "", knowledge)
    return "unknown", None


@lru_cache(maxsize=1000)
def _by_folder(folder: str, local: str, knowledge: Knowledge) -> tuple[Build, str | None]:
    by_folder, by_local = _named(folder, knowledge), _named(local, knowledge)
    if by_folder[0] == "unknown":
        return "other", folder
    contradicted = by_local[0] != "unknown" and by_local != by_folder
    return ("unknown", None) if contradicted else by_folder


@lru_cache(maxsize=1000)
def _named(name: str, knowledge: Knowledge) -> tuple[Build, str | None]:
    if name == "cpu":
        return "cpu", "cpu"
    return ("cuda", name) if knowledge.cuda_of(name) else ("unknown", None)


def _build_tag(text: str) -> tuple[int, str]:
    match = re.match(r"(\d+)(.*)", text)
    return (int(match[1]), match[2]) if match else (0, text)


class ReadContents:
    """What was read out of wheels, found by wheel or by a sibling of another Python.

    Wheels of one build that differ by Python alone carry the same code (research/torch-matrix.md: checked on all Python
    tags of 2.10.0 and 2.15.0), so one of them is read, not seven.
    """

    def __init__(self, contents: Mapping[str, WheelContents], entries: Mapping[str, CatalogEntry]) -> None:
        self._contents = contents
        self._siblings: dict[tuple[str, ...], list[str]] = {}
        for url in sorted(contents):
            if url in entries:
                self._siblings.setdefault(entries[url].sibling_key, []).append(url)

    def kernels(self, entry: CatalogEntry) -> WheelContents | None:
        """Contents that tell CUDA or CPU, and the architectures of a CUDA build."""
        found = (each for each in self._of(entry) if each.cuda == "" or (each.sass is not None and each.cuda))
        return next(found, None)

    def build(self, entry: CatalogEntry) -> WheelContents | None:
        """Contents that tell the CUDA a companion is built with."""
        return next((each for each in self._of(entry) if each.cuda is not None), None)

    def requires(self, entry: CatalogEntry) -> tuple[str, ...] | None:
        """Requires-Dist as read from this very wheel.

        No sibling speaks for it: the wheels of one nightly are built by one job per Python, each on the newest torch
        of its hour, so that one version can carry several pins (docs/nightlies.md).
        """
        contents = self._contents.get(entry.wheel.url)
        return None if contents is None else contents.requires_dist

    def _of(self, entry: CatalogEntry) -> list[WheelContents]:
        urls = [entry.wheel.url, *self._siblings.get(entry.sibling_key, ())]
        return [self._contents[url] for url in urls if url in self._contents]
