"""Which hosts meet where, for a proof of several together: what was asked, and what Slurm says of its job."""

from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Mapping, Sequence

from gpuenv.errors import UsageError
from gpuenv.model.nodes import Meeting
from gpuenv.system import process
from gpuenv.system.process import Ended, Limits

PORT = 29400
"""torchrun's own default (torch.distributed.run, --rdzv-endpoint)."""
PORTS = 1000
"""Jobs of one node meet at ports of their own, by their numbers."""


def meeting(environ: Mapping[str, str], *, nodes: str, rendezvous: str | None, wait: float) -> Meeting:
    """Say who meets where. ``nodes`` is a number, or a list of hosts as Slurm or a person writes one.

    Without ``rendezvous`` the first of the list serves it, in a job of Slurm its first node. Raises
    :class:`~gpuenv.errors.UsageError`.
    """
    job = environ.get("SLURM_JOB_ID", "")
    names = () if nodes.isdecimal() else expand(nodes, environ)
    count = int(nodes) if nodes.isdecimal() else len(names)
    if count < 2:
        raise UsageError(
            "--nodes takes two nodes or more",
            hints=("Prove one alone: `gpuenv verify`",),
        )
    in_job = expand(environ["SLURM_JOB_NODELIST"], environ) if environ.get("SLURM_JOB_NODELIST") else ()
    names = names or (in_job if len(in_job) == count else ())
    node = environ.get("SLURMD_NODENAME") or platform.node()
    serves = None
    if rendezvous is None:
        if not names:
            raise UsageError(
                "it is not known where the nodes meet",
                causes=("a number of nodes does not name one, and this is no job of Slurm",),
                hints=(
                    f"Name one that all reach: `gpuenv verify --nodes {count} --rendezvous {node}`",
                    "Name them all, the first serves: `gpuenv verify --nodes HOST1,HOST2`",
                ),
            )
        port = PORT + int(job) % PORTS if job.isdecimal() else PORT
        rendezvous = f"{address(names[0], environ) if in_job else names[0]}:{port}"
        serves = node == names[0] if node in names else None
    return Meeting(
        nodes=count,
        names=names,
        endpoint=endpoint(rendezvous),
        serves=serves,
        run=f"slurm-{job}.{environ.get('SLURM_RESTART_COUNT', '0')}" if job else "gpuenv",
        node=node,
        wait=wait,
    )


def endpoint(text: str) -> str:
    """Return ``HOST:PORT``, with torchrun's port where none is given.

    >>> endpoint("gpu1"), endpoint("gpu1:4000")
    ('gpu1:29400', 'gpu1:4000')
    """
    host, colon, port = text.rpartition(":")
    if not colon:
        return f"{text}:{PORT}"
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(
            f"--rendezvous takes HOST or HOST:PORT, not {text!r}",
            hints=("See what it takes: `gpuenv verify --help`",),
        )
    return text


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the hosts of a list. Brackets are Slurm's to read: ``scontrol show hostnames`` does.

    >>> expand("gpu1, gpu2", {})
    ('gpu1', 'gpu2')
    """
    if "[" not in text:
        names = [each.strip() for each in text.split(",") if each.strip()]
    else:
        names = _ask(["scontrol", "show", "hostnames", text], environ, what=f"the list {text}").split()
    if any(not re.fullmatch(r"[A-Za-z0-9_.:-]+", name) or name.startswith("-") for name in names):
        raise UsageError(
            f"{text!r} is not a list of hosts",
            hints=("Name them with commas between: `gpuenv verify --nodes HOST1,HOST2`",),
        )
    return tuple(dict.fromkeys(names))


def address(node: str, environ: Mapping[str, str]) -> str:
    """The address of a node of Slurm, which need not be its name."""
    found = re.search(r"\bNodeAddr=(\S+)", _ask(["scontrol", "show", "node", "-o", node], environ, what=f"node {node}"))
    return found[1] if found else node


def _ask(command: Sequence[str], environ: Mapping[str, str], *, what: str) -> str:
    path = shutil.which(command[0], path=environ.get("PATH", os.defpath))
    if path is None:
        raise UsageError(
            f"{what} needs {command[0]} to be read, and there is none here",
            hints=("Name the hosts with commas between: `gpuenv verify --nodes HOST1,HOST2`",),
        )
    done = process.run([path, *command[1:]], environ=environ, limits=Limits(deadline=30))
    if not isinstance(done, Ended) or done.returncode != 0:
        said = done.stderr.strip().splitlines()[:3] if isinstance(done, Ended) else ["it did not answer within 30 s"]
        raise UsageError(f"{' '.join(command)} failed", causes=said, hints=("See what Slurm says: `sinfo`",))
    return done.stdout
