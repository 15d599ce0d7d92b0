"""Run a program in an environment, with its variables set and torch's family as it was proved."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from gpuenv.steps.context import Context, Outcome

EXAMPLES = (
    ("gpuenv run -- python train.py --epochs 3", "in .venv-gpu; the program's exit status is this one's"),
    ("gpuenv run train.py", "a script of Python"),
    ("gpuenv run --env .venv-hopper -- torchrun --nproc-per-node 2 train.py", "in another environment"),
)
TAKES_PROGRAM = True
"""What stands behind this verb's own options is another program's, options and all."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("program", metavar="PROGRAM", nargs="*", help="the program and its arguments")
    parser.add_argument("--env", type=Path, metavar="DIR", help="the environment (default: the profile's)")
    parser.add_argument(
        "--no-check", action="store_true", help="run it although torch's family is not what was built and proved"
    )


def run(arguments: argparse.Namespace, context: Context) -> NoReturn:
    from gpuenv.commands import run

    words = arguments.program
    run.run(context, environment=arguments.env, words=words, check=not arguments.no_check, cwd=Path.cwd())


def data(outcome: Outcome) -> dict[str, object]:
    return {}


def text(outcome: Outcome) -> Iterator[str]:
    yield from ()
