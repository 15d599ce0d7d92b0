"""Prove an environment on this machine by training in it; writes the evidence."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.verbs.report import report_data, report_text
from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.verify import VerifyOutcome

EXAMPLES = (
    ("gpuenv verify", "the profile's environment, with evidence"),
    ("gpuenv verify ~/project/.venv --evidence out", "another environment; the evidence in ./out"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", type=Path, nargs="?", help="the folder (default: the profile's)")
    parser.add_argument(
        "--evidence", type=Path, metavar="DIR", help="where the evidence goes (default: evidence/verify-ENV)"
    )
    parser.add_argument(
        "--baseline", type=Path, metavar="FILE", help="compare with the evidence.json of an earlier run"
    )
    parser.add_argument(
        "--deep", action="store_true", help="hash every installed file, not only those that look touched"
    )


def run(arguments: argparse.Namespace, context: Context) -> VerifyOutcome:
    from gpuenv.commands import verify

    return verify.run(
        context,
        environment=arguments.environment,
        folder=arguments.evidence,
        baseline=arguments.baseline,
        deep=arguments.deep,
    )


def data(outcome: VerifyOutcome) -> dict[str, object]:
    compared = outcome.compared
    return {
        "environment": outcome.environment,
        **report_data(outcome.report),
        "evidence": outcome.evidence,
        "baseline": compared and [parts(row, "what", "before", "after", "change") for row in compared],
    }


def text(outcome: VerifyOutcome) -> Iterator[str]:
    yield from report_text(outcome.report)
    for row in outcome.compared or ():
        yield f"{row.change:<8} {row.what}: {row.before} -> {row.after}"
    yield f"evidence: {outcome.evidence}"
