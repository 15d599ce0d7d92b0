"""Many hosts from one desk: their facts, one lock per class, environments proved everywhere, one report."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Line, Table, Verbatim
from gpuenv.cli.verbs import cluster
from gpuenv.documents import parts
from gpuenv.errors import UsageError
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.fleet import BundleOutcome, FleetOutcome
    from gpuenv.commands.fleet_kubernetes import ManifestOutcome
    from gpuenv.commands.fleet_slurm import LinesOutcome

    FleetOutcomes = BundleOutcome | FleetOutcome | LinesOutcome | ManifestOutcome

EXAMPLES = (
    ("gpuenv fleet create -i hosts.ini --canary 1", "facts, locks, environments, proofs, report: from nothing"),
    ("gpuenv fleet detect -i gpu1,gpu2,gpu3", "the facts of three hosts, and their classes"),
    ("gpuenv fleet report", "what the hosts said last, as a page, JSON and CTRF"),
    *cluster.EXAMPLES,
)

ACTIONS = ("detect", "lock", "create", "verify", "report", "bundle", "slurm", "kubernetes")
"""What can be done with a fleet, in the order of a roll-out."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=ACTIONS,
        metavar="ACTION",
        help="detect: what hosts are; lock: one per class; create: all of it; verify; report; bundle; slurm, "
        "kubernetes: by a cluster's own scheduler",
    )
    parser.add_argument(
        "target",
        metavar="FILE|STEP|LOCK",
        nargs="?",
        help="bundle: where it writes, for plain Ansible; slurm: detect, create, verify or lines; kubernetes: a lock",
    )
    parser.add_argument(
        "-i", "--inventory", dest="inventories", action="append", default=[], metavar="INVENTORY",
        help="what Ansible reads (a file, a folder, host1,host2), or an ssh_config; may be repeated",
    )  # fmt: skip
    parser.add_argument("--limit", metavar="PATTERN", help="only these hosts, as Ansible's --limit takes it")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", default=Path("fleet"), help="where the desk keeps it all (default: fleet)"
    )
    parser.add_argument(
        "--home",
        metavar="DIR",
        help="gpuenv's folder on each host (default: gpuenv_home of the inventory, or ~/gpuenv)",
    )
    parser.add_argument(
        "--carry", type=Path, metavar="DIR", help="wheels of uv and archives of Python, for hosts unlike this machine"
    )
    parser.add_argument(
        "--shared", type=Path, metavar="DIR", help="a store of wheels that this machine and all hosts see at this path"
    )
    parser.add_argument("--canary", type=_count, default=0, metavar="N", help="try N hosts of each class first")
    parser.add_argument("--batch", type=_count, default=0, metavar="N", help="build on N hosts at a time")
    parser.add_argument(
        "--max-fail",
        type=_percent,
        default=100,
        metavar="PERCENT",
        help="begin no batch after one in which more failed",
    )
    parser.add_argument("--forks", type=_count, default=32, metavar="N", help="ask N hosts at a time (default: 32)")
    parser.add_argument("--again", action="store_true", help="do also what is done: same lock, same driver, proved")
    parser.add_argument("--no-verify", action="store_true", help="build without proving it")
    parser.add_argument(
        "--no-health", action="store_true", help="leave out dcgmi, nvbandwidth and nccl-tests where they are installed"
    )
    cluster.configure(parser)


def _count(text: str) -> int:
    if not text.isdecimal() or len(text) > 6:
        raise argparse.ArgumentTypeError(f"not a number of hosts: {text}")
    return int(text)


def _percent(text: str) -> int:
    number = text.removesuffix("%")
    if not number.isdecimal() or len(number) > 3 or int(number) > 100:
        raise argparse.ArgumentTypeError(f"not a percentage: {text}")
    return int(number)


def run(arguments: argparse.Namespace, context: Context) -> FleetOutcomes:
    from gpuenv.commands import fleet
    from gpuenv.steps.rollout import HostOptions

    if context.options.machine is not None:
        raise UsageError("a fleet's hosts are the ones that answer, not one in a file")
    if arguments.action == "kubernetes":
        return cluster.manifest(arguments, context)
    of_slurm = arguments.action == "slurm"
    if not of_slurm and (arguments.target is not None) != (arguments.action == "bundle"):
        raise UsageError("`fleet bundle` takes a file, and it alone", hints=("Run `gpuenv fleet bundle FILE`",))
    if arguments.target is not None and not of_slurm:
        return fleet.bundle(context, Path(arguments.target), carry=arguments.carry)
    hosts = HostOptions(
        inventories=tuple(arguments.inventories),
        limit=arguments.limit,
        home=arguments.home,
        carry=arguments.carry,
        forks=max(arguments.forks, 1),
        health=not arguments.no_health,
    )
    options = fleet.FleetOptions(
        folder=arguments.folder,
        hosts=hosts,
        verify=not arguments.no_verify,
        again=arguments.again,
        canary=arguments.canary,
        batch=arguments.batch,
        max_fail=arguments.max_fail,
        shared=None if arguments.shared is None else context.project / arguments.shared,
    )
    if of_slurm:
        return cluster.run(arguments, context, options)
    actions = {
        "detect": fleet.detect, "lock": fleet.lock, "create": fleet.create, "verify": fleet.verify,
        "report": fleet.report,
    }  # fmt: skip
    return actions[arguments.action](context, options)


def data(outcome: FleetOutcomes) -> dict[str, object]:
    from gpuenv.commands.fleet import BundleOutcome, FleetOutcome
    from gpuenv.fleet.report import to_json

    if isinstance(outcome, BundleOutcome):
        return parts(outcome, "bundle", "sha256")
    if not isinstance(outcome, FleetOutcome):
        return parts(outcome, "text")
    return cluster.data(outcome) | {
        "folder": outcome.folder,
        "files": list(outcome.files),
        "report": to_json(outcome.report),
    }


def text(outcome: FleetOutcomes) -> Iterator[Line]:
    from gpuenv.commands.fleet import BundleOutcome, FleetOutcome

    if isinstance(outcome, BundleOutcome):
        yield f"{outcome.bundle}: sha256 {outcome.sha256}, which lies beside it"
        return
    if not isinstance(outcome, FleetOutcome):
        yield Verbatim(outcome.text.rstrip("\n"))
        return
    report = outcome.report
    for row in report.classes:
        lock = row.lock
        locked = f"torch {lock.torch} ({lock.variant}), Python {lock.python}: {lock.path}" if lock.path else "no lock"
        count = len(row.group.members)
        yield f"{row.group.name}: {count} host{'' if count == 1 else 's'}; {locked}"
    yield ""
    rows = tuple((row.verdict, row.host.name, row.group or "–", row.why or "–") for row in report.hosts)
    yield Table(heading=(("verdict", "host", "class", "why"),), rows=rows)
    for row in report.classes:
        for each in row.differences:
            said = "; ".join(f"{value} on {', '.join(hosts)}" for value, hosts in each.values[1:])
            yield f"{row.group.name}: {each.what} differs: {each.values[0][0]} on most, {said}"
    yield report.summary
    yield f"report: {outcome.folder}/report.html"
    yield from cluster.text(outcome)
