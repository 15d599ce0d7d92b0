"""Show which torch runs on which GPU: natively, through PTX, or not at all."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.commands.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.matrix import MatrixOutcome


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "gpus",
        nargs="*",
        metavar="GPU",
        help='a name ("RTX 5090"), a generation (Ampere) or a compute capability (8.6)',
    )
    parser.add_argument(
        "--platform",
        default="linux_x86_64",
        metavar="NAME",
        help="linux_x86_64 (default), linux_aarch64, win_amd64 or all",
    )
    parser.add_argument(
        "--format", choices=("text", "markdown"), default="text", help="markdown: as docs/matrix.md shows it"
    )


def run(arguments: argparse.Namespace, context: Context) -> MatrixOutcome:
    from gpuenv.commands import matrix

    platform = "" if arguments.platform == "all" else arguments.platform
    return matrix.run(context, gpus=arguments.gpus, platform=platform, format=arguments.format)


def data(outcome: MatrixOutcome) -> dict[str, object]:
    from gpuenv.knowledge.matrix import to_value

    return to_value(outcome.matrix)


def text(outcome: MatrixOutcome) -> Iterator[str]:
    from gpuenv.knowledge.matrix import to_markdown, to_text

    show = to_markdown if outcome.format == "markdown" else to_text
    yield show(outcome.matrix).rstrip("\n")
