"""The table of what runs where: compute capability × torch release × variant × platform."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, get_args

from gpuenv.errors import UsageError
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.facts import KernelRow, Platform
from gpuenv.knowledge.rules import Refusal, serve
from gpuenv.model.machine import ComputeCapability, Os

_WORDS = {"native": "native", "ptx": "PTX", "none": "–"}
_PLATFORMS: tuple[str, ...] = get_args(Platform)
LEGEND = (
    "native: compiled code in the wheel. PTX: compiled by the driver at first use; takes the full driver. –: no code. "
    "driver, least: runs the compiled code; full: knows the build's own CUDA."
)


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
class Row:
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
    rows: tuple[Row, ...]


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


def capabilities_of(knowledge: Knowledge, text: str) -> tuple[ComputeCapability, ...]:
    """Read what a person calls a GPU: a compute capability, a generation, or a name; all that an ambiguous one means.

    Raises ``UsageError`` for what is none of these.
    """
    try:
        return (ComputeCapability.parse(text),)
    except ValueError:
        pass
    generation = [c for c, row in knowledge.architectures.items() if row.name.casefold() == text.strip().casefold()]
    found = generation or [gpu.compute_capability for gpu in knowledge.gpu_by_name(text)]
    if not found:
        raise UsageError(
            f"no GPU is known by the name {text!r}",
            hints=['gpuenv matrix "RTX 5090"', "gpuenv matrix Ampere", "gpuenv detect"],
        )
    return tuple(sorted(set(found)))


def _releases(knowledge: Knowledge) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Releases with any build, by platform."""
    rows = sorted(knowledge.kernels.values(), key=_order)
    return tuple(
        (platform, tuple(dict.fromkeys(row.torch for row in rows if row.platform == platform)))
        for platform in _PLATFORMS
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
    return [-part for part in digits], _PLATFORMS.index(row.platform), [-int(row.variant.removeprefix("cu"))]


def _row(knowledge: Knowledge, row: KernelRow, capabilities: Sequence[ComputeCapability]) -> Row:
    os: Os = "windows" if row.platform.startswith("win") else "linux"
    floor = knowledge.driver_floor(row.variant, os)
    return Row(
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
    if isinstance(answer, Refusal):
        return Cell(support="none", by="", detail=answer.detail, doubtful=False)
    doubtful = answer.by in row.doubtful
    return Cell(support=answer.support, by=answer.by, detail=answer.warning, doubtful=doubtful)


# --- what a person sees ----------------------------------------------------------------------------------------------


def to_value(table: Matrix) -> dict[str, object]:
    """The matrix as JSON: one object a build, nothing folded together."""
    keys = [str(column.capability) for column in table.columns]
    return {
        "knowledge": table.version,
        "columns": [
            {"compute_capability": key, "generation": column.generation, "last_driver_branch": column.last_branch}
            for key, column in zip(keys, table.columns, strict=True)
        ],
        "rows": [
            {
                "torch": row.torch,
                "variant": row.variant,
                "platform": row.platform,
                "driver": row.driver,
                "full_driver": row.full_driver,
                "published": row.published,
                "read_from_wheel": row.read,
                "note": row.note,
                "support": {
                    key: {"support": cell.support, "by": cell.by, "doubtful": cell.doubtful}
                    for key, cell in zip(keys, row.cells, strict=True)
                },
            }
            for row in table.rows
        ],
    }


def to_text(table: Matrix) -> str:
    """The matrix for a terminal: neighbouring releases with the same answers share a line, capabilities a column."""
    heading, lines = _folded(table)
    widths = [max(len(line[i]) for line in (*heading, *lines)) for i in range(len(heading[0]))]
    out = [_padded(line, widths) for line in heading]
    out.append("  ".join("─" * width for width in widths))
    out += [_padded(line, widths) for line in lines]
    return "\n".join([*out, "", LEGEND, *_notes(table), ""])


def to_markdown(table: Matrix) -> str:
    """The matrix as a Markdown table, folded like the terminal's."""
    heading, lines = _folded(table)
    titles = [" ".join(filter(None, parts)) for parts in zip(*heading, strict=True)]
    out = [_piped(titles), "|" + "---|" * len(titles), *(_piped(line) for line in lines)]
    return "\n".join([*out, "", LEGEND, "", *(f"- {note}" for note in _notes(table)), ""])


def _padded(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _folded(table: Matrix) -> tuple[list[list[str]], list[list[str]]]:
    groups = _column_groups(table)
    heading = [
        ["", "", "", "least", "full", *(_generation(table, group) for group in groups)],
        ["torch", "variant", "platform", "driver", "driver", *(_numbers(table, group) for group in groups)],
    ]
    lines = []
    for rows in _row_groups(table):
        first = rows[0]
        span = first.torch if len(rows) == 1 else f"{rows[-1].torch} – {first.torch}"
        cells = [_word(first.cells[group[0]]) for group in groups]
        lines.append([span, first.variant, first.platform, first.driver, first.full_driver, *cells])
    return heading, lines


def _word(cell: Cell) -> str:
    return _WORDS[cell.support] + ("?" if cell.doubtful else "")


def _column_groups(table: Matrix) -> list[list[int]]:
    """Indices of neighbouring capabilities of one generation that have the same word in every row."""
    groups: list[list[int]] = []
    for index, column in enumerate(table.columns):
        previous = groups[-1][-1] if groups else index
        same = previous != index and table.columns[previous].generation == column.generation
        if same and all(_word(row.cells[index]) == _word(row.cells[previous]) for row in table.rows):
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _row_groups(table: Matrix) -> list[list[Row]]:
    """Rows of one variant and platform that follow each other in the releases and say the same; newest first.

    Only neighbours in the list of known releases of that platform are folded: a release without a row ends a span.
    """
    releases = {platform: list(known) for platform, known in table.releases}
    ordered = sorted(table.rows, key=lambda row: (_PLATFORMS.index(row.platform), -_variant_number(row)))
    groups: list[list[Row]] = []
    for _, same in groupby(ordered, key=lambda row: (row.platform, row.variant)):
        for row in same:
            last = groups[-1][-1] if groups else None
            if last is not None and _continues(last, row, releases[row.platform]):
                groups[-1].append(row)
            else:
                groups.append([row])
    return groups


def _continues(last: Row, row: Row, releases: list[str]) -> bool:
    return (
        (last.platform, last.variant) == (row.platform, row.variant)
        and last.published == row.published
        and releases.index(row.torch) == releases.index(last.torch) + 1
        and [_word(cell) for cell in last.cells] == [_word(cell) for cell in row.cells]
    )


def _variant_number(row: Row) -> int:
    return int(row.variant.removeprefix("cu"))


def _generation(table: Matrix, group: Sequence[int]) -> str:
    return table.columns[group[0]].generation


def _numbers(table: Matrix, group: Sequence[int]) -> str:
    return " ".join(str(table.columns[index].capability) for index in group)


def _notes(table: Matrix) -> list[str]:
    notes = []
    for generation, columns in groupby(table.columns, key=lambda column: column.generation):
        branches = dict.fromkeys(column.last_branch for column in columns)
        notes += [f"{generation} needs a driver of branch {last} or older." for last in branches if last]
    details = (cell.detail for row in table.rows for cell in row.cells if cell.doubtful)
    notes += [f"?: {detail}." for detail in dict.fromkeys(details)]
    unsure = sorted({f"{row.torch} {row.variant}" for row in table.rows if row.published != "yes"})
    if unsure:
        notes.append(f"Not seen as published: {', '.join(unsure)}.")
    return notes
