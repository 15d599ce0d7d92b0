"""One host of several, with one GPU of this machine: python3 tests/gpu/nodes_here.py OUT NODE GPU [ENV]

NODE is one of ``one`` and ``two``, GPU the number that NVML gives it. Exit 1 when a check fails.
"""

from __future__ import annotations

import datetime
import os
import sys
from pathlib import Path

from this_host import machine, torch_environment

from gpuenv import __version__
from gpuenv.model.nodes import Meeting
from gpuenv.report import Silent
from gpuenv.verify import nodes_evidence
from gpuenv.verify.causes import Hints
from gpuenv.verify.evidence import About
from gpuenv.verify.nodes import NodesAsked, run_together

NAMES = ("one", "two")
PORT = 29400


def main(arguments: list[str]) -> int:
    """Take part, write what this host saw, and say it in a few lines."""
    out, node, gpu = Path(arguments[0]), arguments[1], int(arguments[2])
    environment = Path(arguments[3]) if len(arguments) > 3 else torch_environment()
    wait = float(os.environ.get("GPUENV_TEST_WAIT", "120"))
    meeting = Meeting(
        nodes=len(NAMES), names=NAMES, endpoint=f"127.0.0.1:{PORT}", serves=None, run="gpuenv", node=node, wait=wait
    )
    asked = NodesAsked(
        environment=environment,
        meeting=meeting,
        gpus=tuple(each for each in machine().gpus if each.index == gpu),
        lock="",
        deadline=300,
        hints=Hints(environment=environment.name),
    )
    report = run_together(asked, accelerator="cuda", environ=os.environ, reporter=Silent())
    about = About(
        created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        gpuenv=__version__,
        command=f"gpuenv verify --nodes {','.join(NAMES)} --gpu {gpu} --rendezvous {meeting.endpoint}",
        environment=environment.name,
    )
    nodes_evidence.write(out / f"node-{node}", report=report, about=about)
    print(f"{node}: {report.verdict}, {report.seconds:.1f} s")
    for check in report.checks:
        print(f"  {node} {check.status:<15}{check.name:<17}{check.seen}")
        if check.cause:
            print(f"  {node} {'':<32}cause: {check.cause}\n  {node} {'':<32}hint:  {check.hint}")
    return int(report.verdict == "failed")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
