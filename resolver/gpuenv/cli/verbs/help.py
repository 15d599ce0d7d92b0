"""Show the help of a command, or of the common options: `gpuenv help create`, `gpuenv help options`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.dataclass import dataclass
from gpuenv.steps.context import Outcome

if TYPE_CHECKING:
    from gpuenv.steps.context import Context

NEEDS_CONTEXT = False
EXAMPLES = (
    ("gpuenv help create", "what `create` does and takes"),
    ("gpuenv help options", "the options that every command takes"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpOutcome(Outcome):
    """The page that was asked for; ``topic`` is ``None`` for the list of commands."""

    topic: str | None
    page: str


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="COMMAND", nargs="?", help="a command, or `options`")


def run(arguments: argparse.Namespace, context: Context | None) -> HelpOutcome:
    from gpuenv.cli import parser, verbs

    return HelpOutcome(topic=arguments.topic, page=parser.page(parser.build(verbs.load()), arguments.topic))


def data(outcome: HelpOutcome) -> dict[str, object]:
    return {"topic": outcome.topic, "text": outcome.page}


def text(outcome: HelpOutcome) -> Iterator[str]:
    yield outcome.page
