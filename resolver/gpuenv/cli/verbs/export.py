"""Write a lock for other tools: uv's project, requirements with hashes, a container, conda."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Line, Verbatim
from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.export import ExportOutcome

EXAMPLES = (
    ("gpuenv export --format uv", "`uv lock`, `sync`, `run` and `add` keep torch from then on; --undo takes it out"),
    ("gpuenv export --format uv pascal blackwell", "two classes of machines in one uv.lock, a group each"),
    ("gpuenv export --format requirements -o requirements.txt", "for pip, with hashes"),
    ("gpuenv export --format dockerfile > Dockerfile", "with the driver that the lock needs"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", metavar="LOCK", nargs="*", help="names of locks in lockfiles/ (default: the profile's)"
    )
    parser.add_argument(
        "--format",
        required=True,
        choices=("uv", "requirements", "dockerfile", "devcontainer", "conda"),
        help="uv writes into pyproject.toml, devcontainer into .devcontainer; the others are printed",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there (devcontainer: a folder)")
    parser.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    parser.add_argument("--undo", action="store_true", help="with uv: take out what was written, byte for byte")


def run(arguments: argparse.Namespace, context: Context) -> ExportOutcome:
    from gpuenv.commands import export

    return export.run(
        context,
        export.ExportOptions(
            format=arguments.format,
            names=tuple(arguments.names),
            output=arguments.output,
            dry_run=arguments.dry_run,
            undo=arguments.undo,
        ),
    )


def data(outcome: ExportOutcome) -> dict[str, object]:
    return {
        **parts(outcome, "format", "locks", "dry_run", "steps"),
        "files": [parts(each, "path", "change") for each in outcome.files],
        "text": outcome.text or None,
    }


def text(outcome: ExportOutcome) -> Iterator[Line]:
    if outcome.text:
        yield Verbatim(outcome.text.rstrip("\n"))
    for each in outcome.files:
        if not each.change:
            yield f"{each.path} is as it should be"
        elif outcome.dry_run:
            yield Verbatim(each.change)
        else:
            yield f"Wrote {each.path}"
    if outcome.files and outcome.steps:
        yield "next: " + ", or ".join(f"`{each}`" for each in outcome.steps)
