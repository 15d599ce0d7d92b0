"""The part of the verb fleet that is about a cluster's own scheduler: its options, and what it shows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.errors import UsageError
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.fleet import FleetOptions, FleetOutcome
    from gpuenv.commands.fleet_kubernetes import ManifestOutcome
    from gpuenv.commands.fleet_slurm import LinesOutcome, SlurmOutcome

EXAMPLES = (
    ("gpuenv fleet slurm create --partition gpu", "by jobs of Slurm: an environment on each node, proved there"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of a cluster."""
    slurm = parser.add_argument_group("slurm")
    slurm.add_argument("--partition", metavar="NAME", help="with slurm: the nodes of this partition")
    slurm.add_argument(
        "--environment",
        metavar="DIR",
        help="with slurm: where it stands on a node, in its variables: '/scratch/$USER/env' (default: shared disk)",
    )
    slurm.add_argument(
        "--once", action="store_true", help="with slurm: build it once for each class, on a disk that all share"
    )
    slurm.add_argument(
        "--gpus",
        type=int,
        metavar="N",
        help="GPUs of each type that a task of Slurm asks for (default: all), or a pod (one)",
    )
    slurm.add_argument("--minutes", type=int, metavar="N", default=30, help="with slurm: the time limit of a task")
    slurm.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="OPTION",
        help="with slurm: one more option of sbatch (--sbatch=--account=ml); may be repeated",
    )
    slurm.add_argument(
        "--patience", type=int, metavar="MINUTES", default=1440, help="with slurm: how long to wait for the jobs"
    )
    kubernetes = parser.add_argument_group("kubernetes")
    kubernetes.add_argument(
        "--kind",
        choices=("job", "daemonset"),
        default="job",
        help="with kubernetes: job, the proof on one node, or daemonset, a question to every node",
    )
    kubernetes.add_argument(
        "--image",
        metavar="IMAGE",
        help="with kubernetes: the image of the pods, the lock's Dockerfile and gpuenv in it",
    )


def manifest(arguments: argparse.Namespace, context: Context) -> ManifestOutcome:
    """Print a lock for Kubernetes."""
    from gpuenv.commands import fleet_kubernetes

    return fleet_kubernetes.run(
        context,
        name=arguments.target,
        kind=arguments.kind,
        image=arguments.image,
        gpus=1 if arguments.gpus is None else arguments.gpus,
    )


def run(arguments: argparse.Namespace, context: Context, options: FleetOptions) -> SlurmOutcome | LinesOutcome:
    """Do a step by jobs of Slurm."""
    from gpuenv.commands import fleet_slurm
    from gpuenv.steps.jobs import STEPS, SlurmOptions

    if arguments.target not in STEPS:
        steps = ", ".join(STEPS)
        raise UsageError(
            f"`gpuenv fleet slurm` takes one of {steps}", hints=("See what each does: `gpuenv fleet --help`",)
        )
    if arguments.partition is None and arguments.target != "lines":
        raise UsageError("--partition is missing: it says which nodes", hints=("See the partitions: `sinfo`",))
    return fleet_slurm.run(
        context,
        options,
        SlurmOptions(
            step=arguments.target,
            partition=arguments.partition or "",
            environment=arguments.environment,
            shared=arguments.once,
            again=arguments.again,
            gpus=arguments.gpus,
            batch=arguments.batch or None,
            minutes=arguments.minutes,
            sbatch=tuple(arguments.sbatch),
            deadline=arguments.patience * 60.0,
        ),
    )


def data(outcome: FleetOutcome) -> dict[str, object]:
    """What a step by jobs has beside the report, as JSON."""
    from gpuenv.commands.fleet_slurm import SlurmOutcome

    return {"jobs": list(outcome.jobs), "drain": list(outcome.drain)} if isinstance(outcome, SlurmOutcome) else {}


def text(outcome: FleetOutcome) -> Iterator[str]:
    """The same as lines."""
    from gpuenv.commands.fleet_slurm import SlurmOutcome

    if isinstance(outcome, SlurmOutcome) and outcome.drain:
        yield "To take a failed node out of service (not done here):"
        yield from (f"  {each}" for each in outcome.drain)
