"""Show which torch runs on which GPU: natively, through PTX, or not at all."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Line, Table, Verbatim
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.matrix import MatrixOutcome
    from gpuenv.knowledge.matrix import Matrix

EXAMPLES = (
    ("gpuenv matrix --here", "for the GPUs and the driver of this machine"),
    ("gpuenv matrix 5090 A100-SXM --platform win_amd64", "for two cards on Windows"),
    ("gpuenv matrix --format html > matrix.html", "everything that is known, as a page that needs no network"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "gpus",
        nargs="*",
        metavar="GPU",
        help='a name (5090, "RTX 5090", A100-SXM), a generation (Ampere) or a compute capability (8.6)',
    )
    parser.add_argument(
        "--here", action="store_true", help="for the GPUs and the driver of this machine, or of --machine FILE"
    )
    parser.add_argument(
        "--platform",
        choices=("linux_x86_64", "linux_aarch64", "win_amd64", "all"),
        help="whose wheels (default: linux_x86_64; with --here: the machine's)",
    )
    parser.add_argument(
        "--format",
        choices=("text", "markdown", "html"),
        default="text",
        help="markdown: as docs/matrix.md shows it; html: a page to choose GPU, driver, system and Python on",
    )


def run(arguments: argparse.Namespace, context: Context) -> MatrixOutcome:
    from gpuenv.commands import matrix

    platform = "" if arguments.platform == "all" else arguments.platform
    return matrix.run(context, gpus=arguments.gpus, platform=platform, format=arguments.format, here=arguments.here)


def data(outcome: MatrixOutcome) -> dict[str, object]:
    from gpuenv.knowledge.matrix_text import to_value

    return {**to_value(outcome.matrix), "machine": outcome.machine or None, "drivers": dict(outcome.drivers) or None}


def text(outcome: MatrixOutcome) -> Iterator[Line]:
    from gpuenv.knowledge.matrix_text import LEGEND, by_generation, notes, to_markdown

    if outcome.format == "markdown":
        yield Verbatim(to_markdown(outcome.matrix).rstrip("\n"))
        return
    if outcome.format == "html":
        yield Verbatim(outcome.page.rstrip("\n"))
        return
    if outcome.machine:
        yield f"for {outcome.machine}"
        yield ""
    yield replace(
        _table(outcome, outcome.matrix), narrow=tuple(_one(outcome, each) for each in by_generation(outcome.matrix))
    )
    yield ""
    yield LEGEND
    yield from notes(outcome.matrix)
    if not outcome.machine:
        yield "`gpuenv matrix --here` shows the rows of this machine's GPUs and what its driver runs."


def _table(outcome: MatrixOutcome, matrix: Matrix) -> Table:
    from gpuenv.knowledge.matrix_text import grid

    words = dict(outcome.drivers)
    made = grid(matrix, note=(lambda row: words[row.variant]) if words else None, title="this driver")
    return Table(heading=made.heading, rows=made.rows)


def _one(outcome: MatrixOutcome, matrix: Matrix) -> Table:
    """The table of one generation, with its name above."""
    names = " ".join(str(column.capability) for column in matrix.columns)
    return replace(_table(outcome, matrix), title=f"{matrix.columns[0].generation} {names}")
