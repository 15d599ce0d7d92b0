"""Show what a wheel contains (CUDA, kernels, requirements), read by range from a path or URL."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.cli.project import PathOrName
from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.inspect import InspectOutcome

EXAMPLES = (
    ("gpuenv inspect ./torch*.whl", "a wheel in this folder"),
    ("gpuenv inspect https://example.org/wheels/torch.whl", "a wheel elsewhere, of which a thousandth is downloaded"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wheel", type=PathOrName, metavar="WHEEL", help="a path or URL of a .whl file")


def run(arguments: argparse.Namespace, context: Context) -> InspectOutcome:
    from gpuenv.commands import inspect

    return inspect.run(context, location=arguments.wheel)


def data(outcome: InspectOutcome) -> dict[str, object]:
    contents = outcome.reading.contents
    return {
        **parts(outcome, "project", "version", "filename"),
        **parts(contents, "cuda", "sass", "ptx", "git", "requires_dist", "requires_python", "detail"),
        **parts(outcome.reading, "size", "requests", "bytes"),
        "disagreement": None if outcome.disagreement is None else outcome.disagreement.differences,
    }


def text(outcome: InspectOutcome) -> Iterator[str]:
    contents, reading = outcome.reading.contents, outcome.reading
    yield f"{outcome.project} {outcome.version}  ({outcome.filename})"
    if contents.cuda is not None:
        yield f"  CUDA      {contents.cuda or 'none: this is a CPU build'}"
    if contents.sass:
        yield f"  SASS      {' '.join(contents.sass)}"
    if contents.sass is not None and contents.cuda:
        yield f"  PTX       {' '.join(contents.ptx or ()) or 'none'}"
    if contents.git:
        yield f"  git       {contents.git}"
    yield f"  Python    {contents.requires_python or 'any'}"
    for requirement in contents.requires_dist or ():
        yield f"  requires  {requirement}"
    if contents.detail:
        yield f"  read in   {contents.detail}"
    yield f"  cost      {reading.requests} requests, {reading.bytes:,} of {reading.size:,} bytes"
    if outcome.disagreement is not None:
        for line in outcome.disagreement.differences:
            yield f"  warning: the tables say something else: {line}"
