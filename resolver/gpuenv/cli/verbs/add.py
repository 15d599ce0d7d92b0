"""Add packages to the project: written into its file, locked with torch, built and proved, or nothing of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Line
from gpuenv.cli.verbs import create, lock
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.requirements import EditOptions, EditOutcome

EXAMPLES = (
    ("gpuenv add einops 'transformers>=4.50'", "into pyproject.toml, else into the profile"),
    ("gpuenv add --group dev ipykernel", "into a dependency group"),
    ("gpuenv add -r requirements.txt einops", "into a requirements file"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packages", metavar="REQ", nargs="+", help="a package, with a range where it matters")
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that `add` and `remove` share."""
    parser.add_argument("--lock-only", action="store_true", help="write the file and the lock, and build nothing")
    parser.add_argument("--no-verify", action="store_true", help="build without proving it")


def options_of(arguments: argparse.Namespace) -> EditOptions:
    """What was typed for :func:`add_options`."""
    from gpuenv.commands.requirements import EditOptions

    return EditOptions(verify=not arguments.no_verify, lock_only=arguments.lock_only)


def run(arguments: argparse.Namespace, context: Context) -> EditOutcome:
    from gpuenv.commands import requirements

    return requirements.add(context, arguments.packages, options_of(arguments))


def data(outcome: EditOutcome) -> dict[str, object]:
    return {
        "file": outcome.file,
        "change": outcome.change,
        "lock": lock.row_data(outcome.locked),
        "created": None if outcome.created is None else create.data(outcome.created),
    }


def text(outcome: EditOutcome) -> Iterator[Line]:
    if outcome.locked.change is not None:
        yield from outcome.locked.change.lines
    if outcome.created is not None:
        yield from create.text(outcome.created)
