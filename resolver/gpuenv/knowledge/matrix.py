"""The table of what runs where: compute capability × torch release × variant × platform."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.facts import KernelRow, Platform
from gpuenv.knowledge.rules import NoCode, serve
from gpuenv.model.machine import ComputeCapability, Os

PLATFORMS: tuple[str, ...] = get_args(Platform)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one build has for one capability. ``by`` is ``sm_86``, ``compute_120`` or empty; ``detail`` is a warning, or
    the reason of a refusal."""

    support: Literal["native", "ptx", "none"]
    by: str
    detail: str
    doubtful: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One compute capability. ``last_branch`` is the last driver branch that serves it, ``None`` for current ones."""

    capability: ComputeCapability
    generation: str
    last_branch: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRow:
    """One build of torch with its cells, in the order of the columns. ``driver`` is the least one; ``full_driver`` the
    least one that also takes the build's PTX."""

    torch: str
    variant: str
    platform: str
    driver: str
    full_driver: str
    published: str
    read: bool
    note: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """Rows are newest torch first, then by platform and newest variant.

    ``releases`` are all known ones of each platform, newest first, whatever the rows were narrowed to.
    """

    version: str
    releases: tuple[tuple[str, tuple[str, ...]], ...]
    columns: tuple[Column, ...]
    rows: tuple[MatrixRow, ...]


def matrix(
    knowledge: Knowledge,
    *,
    capabilities: Iterable[ComputeCapability] = (),
    torch: str = "",
    platform: str = "",
    variant: str = "",
) -> Matrix:
    """Lay out what every known build of torch has for every capability.

    ``torch`` is a specifier (``">=2.8"``) or the beginning of a version (``"2.10"``); ``platform`` and ``variant`` are
    names of the tables; empty: all. Without ``capabilities``, all of known GPUs that any build serves. Raises
    ``UsageError`` for a specifier, platform or variant that names nothing.
    """
    rows = [row for row in knowledge.kernels.values() if _wanted(row, platform, variant)]
    if not rows:
        raise UsageError(f"no build of torch is known for {' '.join(filter(None, (platform, variant)))}")
    rows = _of_torch(rows, torch)
    wanted = sorted(set(capabilities)) or [
        capability
        for capability in sorted({gpu.compute_capability for gpu in knowledge.gpus})
        if any(_cell(knowledge, row, capability).support != "none" for row in rows)
    ]
    return Matrix(
        version=knowledge.version,
        releases=_releases(knowledge),
        columns=tuple(
            Column(
                capability=capability,
                generation=knowledge.architecture(capability) or "unknown",
                last_branch=knowledge.last_branch_for(capability),
            )
            for capability in wanted
        ),
        rows=tuple(_row(knowledge, row, wanted) for row in sorted(rows, key=_order)),
    )


def _releases(knowledge: Knowledge) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Releases with any build, by platform."""
    rows = sorted(knowledge.kernels.values(), key=_order)
    return tuple(
        (platform, tuple(dict.fromkeys(row.torch for row in rows if row.platform == platform)))
        for platform in PLATFORMS
    )


def _wanted(row: KernelRow, platform: str, variant: str) -> bool:
    return (not platform or row.platform == platform) and (not variant or row.variant == variant)


def _of_torch(rows: Sequence[KernelRow], torch: str) -> list[KernelRow]:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    if not torch:
        return list(rows)
    text = torch if torch[0] in "<>=!~" else f"=={torch}.*"
    try:
        wanted = SpecifierSet(text)
    except InvalidSpecifier as error:
        raise UsageError(f"not a version of torch, such as 2.10 or >=2.8: {torch!r}") from error
    found = [row for row in rows if wanted.contains(row.torch, prereleases=True)]
    if not found:
        raise UsageError(f"no known build of torch is {torch}")
    return found


def _order(row: KernelRow) -> tuple[list[int], int, list[int]]:
    digits = [int(part) for part in row.torch.split(".")]
    return [-part for part in digits], PLATFORMS.index(row.platform), [-int(row.variant.removeprefix("cu"))]


def _row(knowledge: Knowledge, row: KernelRow, capabilities: Sequence[ComputeCapability]) -> MatrixRow:
    os: Os = "windows" if row.platform.startswith("win") else "linux"
    floor = knowledge.driver_floor(row.variant, os)
    return MatrixRow(
        torch=row.torch,
        variant=row.variant,
        platform=row.platform,
        driver=floor.minimum if floor else "",
        full_driver=(floor.full or "") if floor else "",
        published=row.published,
        read=row.read,
        note=row.note,
        cells=tuple(_cell(knowledge, row, capability) for capability in capabilities),
    )


def _cell(knowledge: Knowledge, row: KernelRow, capability: ComputeCapability) -> Cell:
    cuda = knowledge.cuda_of(row.variant)
    only = knowledge.architectures[capability].platforms if capability in knowledge.architectures else ()
    if only and row.platform not in only:
        return Cell(support="none", by="", detail=f"exists on {' '.join(only)} only", doubtful=False)
    answer = serve(
        capability,
        sass=row.sass,
        ptx=row.ptx,
        cuda=cuda,
        driver_cuda=cuda,  # the matrix names the driver that takes the PTX beside the least one
        platform=row.platform,
        cudnn=row.cudnn,
        doubtful=row.doubtful,
        first_cuda=knowledge.first_cuda_for(capability),
        rules=knowledge.code_rules,
    )
    if isinstance(answer, NoCode):
        return Cell(support="none", by="", detail=answer.detail, doubtful=False)
    doubtful = answer.by in row.doubtful
    return Cell(support=answer.support, by=answer.by, detail=answer.warning, doubtful=doubtful)
