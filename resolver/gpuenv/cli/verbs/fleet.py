"""Many hosts from one desk: their facts, one lock per class, environments proved everywhere, one report."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Line, Table
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.fleet import FleetOutcome

EXAMPLES = (
    ("gpuenv fleet lock --profile auto", "one lock per class, made here"),
    ("gpuenv fleet report", "what the hosts said last, as a page, JSON and CTRF"),
)

ACTIONS = ("lock", "report")
"""What can be done with a fleet, in the order of a roll-out."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=ACTIONS, help="lock: one lock per class; report: how the fleet stands")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", default=Path("fleet"), help="where the desk keeps it all (default: fleet)"
    )
    parser.add_argument(
        "-i", "--inventory", dest="inventories", action="append", default=[], metavar="INVENTORY",
        help="what Ansible reads (a file, a folder, `host1,host2`), or an ssh_config; may be repeated",
    )  # fmt: skip
    parser.add_argument("--limit", metavar="PATTERN", help="only these hosts, as Ansible's --limit takes it")


def run(arguments: argparse.Namespace, context: Context) -> FleetOutcome:
    from gpuenv.commands import fleet

    options = fleet.FleetOptions(
        folder=arguments.folder, inventories=tuple(arguments.inventories), limit=arguments.limit
    )
    match arguments.action:
        case "lock":
            return fleet.lock(context, options)
        case _:
            return fleet.report(context, options)


def data(outcome: FleetOutcome) -> dict[str, object]:
    from gpuenv.fleet.report import to_json

    return {"folder": outcome.folder, "files": list(outcome.files), "report": to_json(outcome.report)}


def text(outcome: FleetOutcome) -> Iterator[Line]:
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
