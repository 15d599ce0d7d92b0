"""What the tables know of packages with code for GPUs beside torch: how their names say CUDA, and what is in them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import files, tables
from gpuenv.knowledge.names import local
from gpuenv.knowledge.rules import Code, compare_versions
from gpuenv.metadata import parse_range
from gpuenv.model.machine import ComputeCapability

Built = Literal["", "install", "use"]
"""``install``: there is source only, compiled on the machine. ``use``: kernels are compiled when first used."""

_LIBRARY = re.compile(r"(?:nvidia-[a-z0-9-]+)-cu(\d{2})")
_BY_NAME = re.compile(r".+-cu(?:da)?(\d{2})(?:x|-pjrt|-plugin)?|.+-cu(\d{2})-[a-z]+")
_BY_CARD = re.compile(r".+-(sm\d{2,3}[af]?)")
_IN_LOCAL = re.compile(r"(?:^|[^a-z])(?:pt\d+)?cu(\d{2})(\d*)")
_TORCH_IN_LOCAL = re.compile(r"torch(\d+\.\d+)|(?:^|\.)pt(\d)(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPackage:
    """A package that is judged beside torch. ``own``: it brings or looks for a CUDA of its own."""

    project: str
    own: bool
    built: Built
    least: ComputeCapability | None
    source: str
    library: str = ""
    """The pattern of its libraries' names where it has one for each CUDA, and opens one of them."""

    def serves(self, capabilities: Iterable[ComputeCapability]) -> bool:
        """Whether it can have code for each of some cards, whoever builds it."""
        return self.least is None or all(each >= self.least for each in capabilities)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageCode:
    """Code in wheels of PyPI. ``cuda`` is the toolkit's version, or its major alone; ``sass`` is ``None`` where nobody
    has looked; ``torch`` is the range that it loads with, empty where its metadata says it."""

    project: str
    versions: str
    platform: str
    cuda: str
    sass: tuple[str, ...] | None
    ptx: tuple[str, ...]
    torch: str
    source: str

    def covers(self, version: str, platform: str) -> bool:
        """Whether a wheel of this version and platform is one of them."""
        versions = parse_range(self.versions)
        return self.platform in ("", platform) and versions is not None and versions.contains(version, prereleases=True)


def gpu_package(project: str) -> GpuPackage | None:
    """A package of the table by its normalized name; ``None`` for others. What a name says of itself needs no row."""
    found = _packages().get(project)
    if found is None and (_BY_NAME.fullmatch(project) or _BY_CARD.fullmatch(project)) and not is_library(project):
        return GpuPackage(project=project, own=True, built="", least=None, source="its name")
    return found


def is_library(project: str) -> bool:
    """Whether a project holds a library of NVIDIA's."""
    table = files.read("companions")["nvidia"]
    return bool(_LIBRARY.fullmatch(project)) or project in table["by_version"] or project in table["others"]


def cuda_major(project: str, version: str) -> str | None:
    """The CUDA major that name or version say; ``None`` where they say none.

    >>> [cuda_major(*each) for each in (("nvidia-cudnn-cu12", "9.1"), ("flash-attn", "2.8+cu12torch2.9"))]
    ['12', '12']
    """
    if found := _BY_NAME.fullmatch(project):
        return found[1] or found[2]
    if project in files.read("companions")["nvidia"]["by_version"]:
        return version.partition(".")[0] or None
    found = _IN_LOCAL.search(local(version))
    return found[1] if found else None


def torch_in(version: str) -> str | None:
    """The torch that a local part names: ``2.9`` of 2.8.3+cu12torch2.9cxx11abitrue and 0.5.0+pt29cu128."""
    found = _TORCH_IN_LOCAL.search(local(version))
    return None if found is None else found[1] or f"{found[2]}.{found[3]}"


def card_in(project: str) -> str | None:
    """The architecture that a name ends in: ``sm_90a`` of flashinfer-jit-cache-sm90a."""
    found = _BY_CARD.fullmatch(project)
    code = found[1].replace("sm", "sm_", 1) if found else None
    return code if code and Code.parse(code) else None


def least_to_compile() -> tuple[ComputeCapability, str]:
    """The least capability for which torch.compile uses triton, and where that is written."""
    table = files.read("companions")["compiling"]
    return ComputeCapability.parse(table["least"]), str(table["source"])


def runtime_of(major: str) -> tuple[str, ...]:
    """The names that NVIDIA's CUDA runtime of a major can have."""
    name = str(files.read("companions")["nvidia"]["runtime"])
    return f"{name}-cu{major}", name


def same_files(projects: Sequence[str]) -> tuple[str, ...]:
    """Of NVIDIA's libraries those that write the same file, where there are several; empty where there are none."""
    for stem in files.read("companions")["nvidia"]["same_files"]:
        found = tuple(sorted(each for each in projects if each == stem or each.startswith(f"{stem}-cu")))
        if len(found) > 1:
            return found
    return ()


def code_in(project: str, version: str, platform: str, *, cuda: str | None) -> PackageCode | None:
    """What is known of the code in a wheel of PyPI, beside a torch of ``cuda``; ``None``: nothing is.

    Of several the one for that CUDA; else the next lower, else the next higher of its major, else any, whose CUDA is
    then another.
    """
    rows = [row for row in _code() if row.project == project and row.covers(version, platform)]
    if not rows or not cuda:
        return rows[0] if rows else None
    chosen = choose_cuda([row.cuda for row in rows], cuda)
    return next((row for row in rows if row.cuda == chosen), rows[-1])


def choose_cuda(versions: Sequence[str], cuda: str) -> str | None:
    """Of several CUDA versions, ascending, the one to take beside a torch of ``cuda``, as bitsandbytes chooses its
    library: the same, else the next lower, else the next higher of its major; ``None`` where none is of that major."""
    same = [each for each in versions if cuda and each.partition(".")[0] == cuda.partition(".")[0]]
    lower = [each for each in same if compare_versions(each, cuda) <= 0]
    return next(iter(lower[-1:] or same[:1]), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyBuild:
    """What holds for every build of some versions, whatever its CUDA: the range of torch that it loads with, the least
    capability that it has code for."""

    project: str
    versions: str
    torch: str
    least: ComputeCapability | None
    variants: tuple[str, ...]
    """The folders of PyTorch's index that were seen to have one."""
    source: str


def any_build(project: str, version: str) -> AnyBuild | None:
    """What is known of a version in all its builds; ``None`` where nothing is."""
    for row in _any_builds():
        versions = parse_range(row.versions) if row.project == project else None
        if versions is not None and versions.contains(version, prereleases=True):
            return row
    return None


@cache
def _any_builds() -> tuple[AnyBuild, ...]:
    table = files.read("companions")["any_build"]
    return tuple(
        AnyBuild(
            project=row["project"],
            versions=row["versions"],
            torch=row.get("torch", ""),
            least=ComputeCapability.parse(row["least"]) if "least" in row else None,
            variants=tuple(row["variants"]),
            source=f"{row['source']}; {table['source']}",
        )
        for row in table["rows"]
    )


@cache
def _packages() -> dict[str, GpuPackage]:
    return {
        row["project"]: GpuPackage(
            project=row["project"],
            own=row.get("own", False),
            built=row.get("built", ""),
            least=ComputeCapability.parse(row["least"]) if "least" in row else None,
            source=row["source"],
            library=row.get("library", ""),
        )
        for row in files.read("companions")["packages"]
    }


@cache
def _code() -> tuple[PackageCode, ...]:
    table = files.read("companions")["code"]
    return tuple(
        PackageCode(
            project=row["project"],
            versions=row["versions"],
            platform=row.get("platform", ""),
            cuda=row["cuda"],
            sass=tables.codes("sm", row["sass"]) if "sass" in row else None,
            ptx=tables.codes("compute", row.get("ptx", "")),
            torch=row.get("torch", ""),
            source=row.get("source", table["source"]),
        )
        for row in table["rows"]
    )
