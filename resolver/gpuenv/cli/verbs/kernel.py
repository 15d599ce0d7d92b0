"""Register an environment as a kernel for Jupyter, through the ipykernel in it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.kernel import KernelOutcome

EXAMPLES = (
    ("gpuenv kernel", "the project's environment, for every Jupyter of this user"),
    ("gpuenv kernel --name blackwell --env .venv-blackwell", "another environment, under a name of its own"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--env", type=Path, metavar="DIR", help="the environment (default: the profile's)")
    parser.add_argument("--name", metavar="NAME", help="the kernel's name (default: gpuenv and the project's folder)")


def run(arguments: argparse.Namespace, context: Context) -> KernelOutcome:
    from gpuenv.commands import kernel

    return kernel.run(context, environment=arguments.env, name=arguments.name)


def data(outcome: KernelOutcome) -> dict[str, object]:
    return {**parts(outcome, "name", "title", "folder"), "environment": str(outcome.environment)}


def text(outcome: KernelOutcome) -> Iterator[str]:
    yield f"Kernel {outcome.name}, shown as {outcome.title}: {outcome.folder}"
    yield f"Remove it: `jupyter kernelspec remove {outcome.name}`"
