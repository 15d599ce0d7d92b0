"""PyTorch's index as it was recorded: the rows of any day, their requirements, and stand-in bodies.

Rows are real (``tests/data/index``). Bodies were never recorded, so they are built when asked for:

* Requires-Dist is the recorded one where a lock file kept it. Otherwise by rule: a stable companion pins the torch
  release it belongs to; a nightly companion pins torch of its own day, or of the newest earlier day that has a torch
  for its variant and platform; a nightly torch asks for the triton that was the newest on the index when torch
  appeared. ``Requirement.real`` tells which of the two it was.
* ``CUDAConfig.h`` holds the architectures of ``kernels.json`` for the release, variant and platform; a nightly has
  those of its own release or, where that never came out for the variant, of the nearest earlier one.
"""

from __future__ import annotations

import gzip
import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from packaging.version import Version

from support.wheels import BuiltWheel, build_wheel, normalize, render_metadata, torch_wheel

DATA = Path(__file__).parent.parent / "data" / "index"
FIRST_CRAWL = "2024-10-08"
UPLOAD_TIME_SINCE = "2026-04-23"
TORCH_REQUIRES = (
    "filelock",
    "typing-extensions>=4.10.0",
    "sympy>=1.13.3",
    "networkx>=2.5.1",
    "jinja2",
    "fsspec>=0.8.5",
)
OTHER_REQUIRES = {"torchvision": ("numpy", "pillow!=8.3.*,>=5.3.0")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One recorded wheel. ``key`` is its place below ``/whl/`` (``cu128/torch-….whl``, ``nightly/cu128/…``)."""

    key: str
    sha256: str | None
    metadata_sha256: str | None
    upload_time: str | None
    requires_python: str | None
    size: int | None
    first_seen: str
    last_seen: str
    listed_hash: bool

    @property
    def filename(self) -> str:
        return self.key.rpartition("/")[2]

    @property
    def project(self) -> str:
        return normalize(self.filename.partition("-")[0])

    @property
    def version(self) -> str:
        return self.filename.split("-")[1]

    @property
    def tag(self) -> str:
        return "-".join(self.filename.removesuffix(".whl").split("-")[-3:])

    @property
    def channel(self) -> str:
        return "nightly" if self.key.startswith("nightly/") else "stable"

    @property
    def variant(self) -> str:
        """The folder (``cu128``), empty at a channel's root."""
        return self.key.removeprefix("nightly/").rpartition("/")[0]

    @property
    def platform(self) -> str:
        return platform_of(self.filename)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """Requires-Dist of one wheel. ``real`` is false where the rule of this module made up the family's pins."""

    requires: tuple[str, ...]
    requires_python: str | None
    real: bool


def platform_of(filename: str) -> str:
    """``linux_x86_64``, ``linux_aarch64``, ``win_amd64``, ``win_arm64``, ``macos`` or ``any``."""
    platform = filename.removesuffix(".whl").rpartition("-")[2]
    for end, name in (("x86_64", "linux_x86_64"), ("aarch64", "linux_aarch64")):
        if platform.endswith(end) and "linux" in platform:
            return name
    return platform if platform.startswith("win") else "macos" if platform.startswith("macos") else "any"


@cache
def recording() -> Recording:
    """The recording, read once a process."""
    return Recording(DATA)


class Recording:
    """Everything under ``tests/data/index``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._metadata: dict[tuple[str | None, ...], bytes] = {}

    def on(
        self,
        day: str,
        *,
        projects: Collection[str] | None = None,
        variants: Collection[str] | None = None,
        unlisted: bool = False,
    ) -> list[Row]:
        """Rows that stood on the index on ``day`` (``2026-01-03``), sorted by key as the real pages are.

        A nightly's own date stands on the pages of the next morning. ``variants`` keeps only these folders (and the
        channels' roots); ``unlisted`` adds stable rows known from lock files alone.
        """
        rows = [row for row in self._rows if self._stands(row, day, unlisted=unlisted)]
        if projects is not None:
            rows = [row for row in rows if row.project in projects]
        if variants is not None:
            rows = [row for row in rows if not row.variant or row.variant in variants]
        return sorted(rows, key=lambda row: row.key)

    @staticmethod
    def _stands(row: Row, day: str, *, unlisted: bool) -> bool:
        if not row.first_seen:
            return unlisted
        return row.first_seen <= max(day, FIRST_CRAWL) and day <= row.last_seen

    @cached_property
    def _rows(self) -> list[Row]:
        return [*self._table("stable.tsv.gz"), *self._table("nightly.tsv.gz")]

    def _table(self, name: str) -> Iterator[Row]:
        with gzip.open(self.folder / name, "rt", encoding="utf-8") as lines:
            columns = next(lines).rstrip("\n").split("\t")
            for line in lines:
                row = dict(zip(columns, line.rstrip("\n").split("\t"), strict=True))
                yield Row(
                    key=row["key"],
                    sha256=row.get("sha256") or None,
                    metadata_sha256=row["metadata_sha256"] or None,
                    upload_time=row["upload_time"] or None,
                    requires_python=row.get("requires_python") or None,
                    size=int(row["size"]) if row.get("size") else None,
                    first_seen=row["first_seen"],
                    last_seen=row["last_seen"],
                    listed_hash=row.get("index_has_sha256") == "1",
                )

    @cached_property
    def _releases(self) -> dict[str, Any]:
        return self._json("releases.json")

    @cached_property
    def _kernels(self) -> dict[str, dict[str, str]]:
        return self._json("kernels.json")

    @cached_property
    def _real(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        return {(row["project"], row["version"], row["folder"]): row for row in self._json("requires.json")}

    def _json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    # Requirements

    def requirements(self, row: Row) -> Requirements:
        """Requires-Dist of a row, real where known."""
        real = self._real.get((row.project, row.version, row.key.rpartition("/")[0]))
        if real is None and row.channel == "nightly":
            real = self._real.get((row.project, row.version.partition("+")[0], "nightly"))
            if real is not None:
                pins = tuple(real["requires"])
                return Requirements(requires=(*self._others(row), *pins), requires_python=">=3.10", real=True)
        if real is not None:
            return Requirements(
                requires=tuple(real["requires"]),
                requires_python=real["requires_python"] or row.requires_python,
                real=True,
            )
        pins = self._nightly_pins(row) if row.channel == "nightly" else self._stable_pins(row)
        python = row.requires_python
        if row.project == "torch" and python is None:
            python = self._releases.get(Version(row.version).base_version, {}).get("requires_python") or ">=3.10"
        return Requirements(requires=(*self._others(row), *pins), requires_python=python, real=False)

    @staticmethod
    def _others(row: Row) -> tuple[str, ...]:
        return TORCH_REQUIRES if row.project == "torch" else OTHER_REQUIRES.get(row.project, ())

    def _stable_pins(self, row: Row) -> tuple[str, ...]:
        public = Version(row.version).public
        if row.project == "torch":
            triton = self._releases.get(public, {}).get("triton")
            return (triton,) if triton and row.variant.startswith("cu") else ()
        owners = [
            torch for torch, known in self._releases.items() if public in known["companions"].get(row.project, ())
        ]
        owners.sort(key=Version)
        if len(owners) == 1:
            return (f"torch=={owners[0]}",)
        return (f"torch>={owners[0]}",) if owners else ()

    def _nightly_pins(self, row: Row) -> tuple[str, ...]:
        if row.project == "torch":
            return self._nightly_triton(row)
        if row.project not in ("torchvision", "torchaudio") or ".dev" not in row.version:
            return ()
        dates = self._torch_days.get((row.variant, row.platform), [])
        place = bisect_right(dates, (_date(row.version), "~"))
        return (f"torch=={dates[place - 1][1]}",) if place else ()

    @cached_property
    def _torch_days(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        found: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for row in self._rows:
            if row.first_seen and row.channel == "nightly" and row.project == "torch" and ".dev" in row.version:
                day = (_date(row.version), row.version.partition("+")[0])
                found.setdefault((row.variant, row.platform), set()).add(day)
        return {key: sorted(days) for key, days in found.items()}

    def _nightly_triton(self, row: Row) -> tuple[str, ...]:
        linux_arm = row.platform == "linux_aarch64" and Version(row.version).release >= (2, 11)
        if not row.variant.startswith("cu") or not (row.platform == "linux_x86_64" or linux_arm):
            return ()
        place = bisect_right(self._tritons, (row.first_seen, Version("9999"), "~"))
        if not place:
            return ()
        _, version, name = self._tritons[place - 1]
        return (f"{name}=={version}; platform_system == 'Linux'",)

    @cached_property
    def _tritons(self) -> list[tuple[str, Version, str]]:
        """(first listed, version, name), ascending; ``triton`` comes after ``pytorch-triton`` of the same day."""
        found = {
            (row.first_seen, Version(row.version), row.project)
            for row in self._rows
            if row.first_seen and row.project in ("triton", "pytorch-triton") and "+git" in row.version
        }
        return sorted(found)

    # Bodies

    def metadata(self, row: Row) -> bytes:
        """METADATA of the stand-in, without building the rest. The Python tags of one build share it."""
        key = (row.key.rpartition("/")[0], row.project, row.version, row.platform, row.first_seen, row.requires_python)
        if key not in self._metadata:
            known = self.requirements(row)
            name = row.filename.partition("-")[0]
            self._metadata[key] = render_metadata(
                name, row.version, requires=known.requires, requires_python=known.requires_python
            )
        return self._metadata[key]

    def body(self, row: Row) -> BuiltWheel:
        """Build a stand-in for the wheel of a row."""
        known = self.requirements(row)
        if row.project == "torch":
            sass, ptx = self.kernels(row)
            return torch_wheel(
                row.version,
                row.variant,
                archs=sass,
                ptx=ptx,
                tag=row.tag,
                local=False,
                requires=known.requires,
                requires_python=known.requires_python,
                git=_git(row.version),
            )
        name = row.filename.partition("-")[0]
        return build_wheel(
            name, row.version, tag=row.tag, requires=known.requires, requires_python=known.requires_python
        )

    def kernels(self, row: Row) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """SASS and PTX that a torch wheel of this row is given; empty for a build without CUDA."""
        best: tuple[Version, dict[str, str]] | None = None
        release = Version(Version(row.version).base_version)
        for key, value in self._kernels.items():
            torch, variant, platform = key.split(" ")
            if (variant, platform) == (row.variant, row.platform) and Version(torch) <= release:
                best = max(best, (Version(torch), value), key=lambda pair: pair[0]) if best else (Version(torch), value)
        if best is None:
            return (), ()
        return tuple(best[1]["sass"].split()), tuple(best[1]["ptx"].split())


def _date(version: str) -> str:
    match = re.search(r"\.dev(\d{8})", version)
    return match[1] if match else ""


def _git(version: str) -> str:
    """A commit that differs from version to version: the date of a nightly, repeated."""
    return (_date(version) or re.sub(r"\D", "", version) or "0").ljust(40, "a")[:40]
