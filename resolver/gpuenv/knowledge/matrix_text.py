"""The matrix for a reader: folded into a grid, one grid for each generation, Markdown, JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from gpuenv.dataclass import dataclass
from gpuenv.documents import parts
from gpuenv.knowledge.matrix import PLATFORMS, Cell, Matrix, MatrixRow

_WORDS = {"native": "native", "ptx": "PTX", "none": "–"}
LEGEND = (
    "native: compiled code in the wheel. PTX: compiled by the driver at first use; takes the full driver. –: no code. "
    "driver, least: runs the compiled code; full: knows the build's own CUDA."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Cells as words. ``heading`` is two lines of titles, the upper one empty where a title has one word."""

    heading: tuple[tuple[str, ...], ...]
    rows: tuple[tuple[str, ...], ...]


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
                **parts(row, "torch", "variant", "platform", "driver", "full_driver", "published"),
                "read_from_wheel": row.read,
                "note": row.note,
                "support": {
                    key: parts(cell, "support", "by", "doubtful") for key, cell in zip(keys, row.cells, strict=True)
                },
            }
            for row in table.rows
        ],
    }


def to_markdown(table: Matrix) -> str:
    """The matrix as a Markdown table, folded like the terminal's."""
    folded = grid(table)
    titles = [" ".join(filter(None, parts)) for parts in zip(*folded.heading, strict=True)]
    out = [_piped(titles), "|" + "---|" * len(titles), *(_piped(line) for line in folded.rows)]
    return "\n".join([*out, "", LEGEND, "", *(f"- {note}" for note in notes(table)), ""])


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def grid(table: Matrix, *, note: Callable[[MatrixRow], str] | None = None, title: str = "") -> Grid:
    """Fold the matrix: neighbouring releases with the same answers share a line, capabilities a column.

    The platform has a column where there are several. ``note`` gives each row a last column of this ``title``, two
    words; it may depend on variant and platform alone.
    """
    groups = _column_groups(table)
    several = len({row.platform for row in table.rows}) > 1
    upper = [
        "",
        "",
        *([""] if several else []),
        "least",
        "full",
        *(table.columns[group[0]].generation for group in groups),
    ]
    lower = ["torch", "variant", *(["platform"] if several else []), "driver", "driver"]
    lower += [" ".join(str(table.columns[index].capability) for index in group) for group in groups]
    if note is not None:
        upper.append(title.partition(" ")[0])
        lower.append(title.partition(" ")[2])
    lines = []
    for rows in _row_groups(table):
        first = rows[0]
        span = first.torch if len(rows) == 1 else f"{rows[-1].torch} – {first.torch}"
        cells = [_word(first.cells[group[0]]) for group in groups]
        place = [first.platform] if several else []
        lines.append([span, first.variant, *place, first.driver, first.full_driver, *cells])
        if note is not None:
            lines[-1].append(note(first))
    return Grid(heading=(tuple(upper), tuple(lower)), rows=tuple(map(tuple, lines)))


def by_generation(table: Matrix) -> Iterator[Matrix]:
    """One matrix for each group of capabilities with the same answers, with the builds alone that have code for it."""
    for group in _column_groups(table):
        columns = tuple(table.columns[index] for index in group)
        rows = [replace(row, cells=tuple(row.cells[index] for index in group)) for row in table.rows]
        served = tuple(row for row in rows if any(cell.support != "none" for cell in row.cells))
        yield replace(table, columns=columns, rows=served)


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


def _row_groups(table: Matrix) -> list[list[MatrixRow]]:
    """Rows of one variant and platform that follow each other in the releases and say the same; newest first.

    Only neighbours in the list of known releases of that platform are folded: a release without a row ends a span.
    """
    releases = {platform: list(known) for platform, known in table.releases}
    ordered = sorted(table.rows, key=lambda row: (PLATFORMS.index(row.platform), -int(row.variant.removeprefix("cu"))))
    groups: list[list[MatrixRow]] = []
    for _, same in groupby(ordered, key=lambda row: (row.platform, row.variant)):
        for row in same:
            last = groups[-1][-1] if groups else None
            if last is not None and _continues(last, row, releases[row.platform]):
                groups[-1].append(row)
            else:
                groups.append([row])
    return groups


def _continues(last: MatrixRow, row: MatrixRow, releases: list[str]) -> bool:
    return (
        (last.platform, last.variant) == (row.platform, row.variant)
        and last.published == row.published
        and releases.index(row.torch) == releases.index(last.torch) + 1
        and [_word(cell) for cell in last.cells] == [_word(cell) for cell in row.cells]
    )


def notes(table: Matrix) -> list[str]:
    """What the words of the grid do not say: last driver branches, doubts, builds nobody saw published."""
    found = []
    for generation, columns in groupby(table.columns, key=lambda column: column.generation):
        branches = dict.fromkeys(column.last_branch for column in columns)
        found += [f"{generation} needs a driver of branch {last} or older." for last in branches if last]
    details = (cell.detail for row in table.rows for cell in row.cells if cell.doubtful)
    found += [f"?: {detail}." for detail in dict.fromkeys(details)]
    unsure = sorted({f"{row.torch} {row.variant}" for row in table.rows if row.published != "yes"})
    if unsure:
        found.append(f"Not seen as published: {', '.join(unsure)}.")
    return found
