"""Prove an environment on this machine by training in it; writes the evidence."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.verbs.report import nodes_data, nodes_text, report_data, report_text
from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.verify import NodesOutcome, VerifyOutcome

EXAMPLES = (
    ("gpuenv verify", "the profile's environment, with evidence"),
    ("gpuenv verify ~/project/.venv --evidence out", "another environment; the evidence in ./out"),
    ("gpuenv verify --nodes 4", "started on each of four nodes by `srun`: they meet at the job's first"),
    ("gpuenv verify --nodes gpu1,gpu2", "typed on both: they meet at the first"),
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
    parser.add_argument(
        "--nodes",
        metavar="N|LIST",
        help="prove several hosts together: how many, or their names (gpu1,gpu2 or gpu[1-4]); started on each of them",
    )
    parser.add_argument(
        "--rendezvous",
        metavar="HOST[:PORT]",
        help="with --nodes: where they meet (default: the first of the list or of the Slurm job, port 29400)",
    )
    parser.add_argument(
        "--wait", type=int, metavar="SECONDS", default=300, help="with --nodes: how long to wait for the others"
    )


def run(arguments: argparse.Namespace, context: Context) -> VerifyOutcome | NodesOutcome:
    from gpuenv.commands import verify

    if arguments.nodes is not None:
        return verify.run_nodes(
            context,
            environment=arguments.environment,
            folder=arguments.evidence,
            nodes=arguments.nodes,
            rendezvous=arguments.rendezvous,
            wait=float(arguments.wait),
        )
    return verify.run(
        context,
        environment=arguments.environment,
        folder=arguments.evidence,
        baseline=arguments.baseline,
        deep=arguments.deep,
    )


def data(outcome: VerifyOutcome | NodesOutcome) -> dict[str, object]:
    from gpuenv.commands.verify import NodesOutcome

    if isinstance(outcome, NodesOutcome):
        return {"environment": outcome.environment, **nodes_data(outcome.report), "evidence": outcome.evidence}
    compared = outcome.compared
    return {
        "environment": outcome.environment,
        **report_data(outcome.report),
        "evidence": outcome.evidence,
        "baseline": compared and [parts(row, "what", "before", "after", "change") for row in compared],
    }


def text(outcome: VerifyOutcome | NodesOutcome) -> Iterator[str]:
    from gpuenv.commands.verify import NodesOutcome

    if isinstance(outcome, NodesOutcome):
        yield from nodes_text(outcome.report)
    else:
        yield from report_text(outcome.report)
        for row in outcome.compared or ():
            yield f"{row.change:<8} {row.what}: {row.before} -> {row.after}"
    yield f"evidence: {outcome.evidence}"
