"""Print the completion script of a shell, to be loaded at its start."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Verbatim
from gpuenv.dataclass import dataclass
from gpuenv.steps.context import Outcome

if TYPE_CHECKING:
    from gpuenv.steps.context import Context

NEEDS_CONTEXT = False
EXAMPLES = (
    ("gpuenv completions bash > ~/.local/share/bash-completion/completions/gpuenv", "bash, with bash-completion"),
    ("gpuenv completions zsh > ~/.zfunc/_gpuenv", "zsh, where ~/.zfunc is in fpath"),
    ("gpuenv completions fish > ~/.config/fish/completions/gpuenv.fish", "fish"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionsOutcome(Outcome):
    """The script for one shell."""

    shell: str
    script: str


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell: bash, zsh or fish")


def run(arguments: argparse.Namespace, context: Context | None) -> CompletionsOutcome:
    import shtab

    from gpuenv.cli import parser, verbs

    script = shtab.complete(parser.build(verbs.load()), shell=arguments.shell)
    return CompletionsOutcome(shell=arguments.shell, script=script)


def data(outcome: CompletionsOutcome) -> dict[str, object]:
    return {"shell": outcome.shell, "script": outcome.script}


def text(outcome: CompletionsOutcome) -> Iterator[str]:
    yield Verbatim(outcome.script)
