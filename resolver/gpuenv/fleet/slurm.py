"""Slurm's nodes as a fleet: what ``sinfo`` says of them, their classes, and the scripts of jobs; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from shlex import quote

from gpuenv.dataclass import dataclass

SINFO = ("sinfo", "--noheader", "--Node", "--format", "%N|%t|%f|%G|%E")
"""A line a node: name, state, features, generic resources, reason."""
UNUSABLE = ("down", "drain", "drng", "fail", "failg", "maint", "boot", "unk", "no_respond", "pow_dn", "powering_down",
            "inval", "futr")  # fmt: skip
"""Compact states (sinfo(1), NODE STATE CODES) in which a node takes no new job."""
EMPTY = ("", "(null)", "N/A", "none")
_GPU = re.compile(r"gpu(?::(?P<type>[A-Za-z0-9._-]+))??:(?P<count>[0-9]+)(?:\(.*\))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gres:
    """GPUs of a node as Slurm counts them. ``type`` is any word of the site's, empty where it gives none."""

    type: str
    count: int

    def request(self, count: int | None = None) -> str:
        """What a job asks for: all of them, or as many as are given."""
        words = ["gpu", *([self.type] if self.type else []), str(self.count if count is None else count)]
        return ":".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node. ``reason`` is the site's word for why it takes no jobs."""

    name: str
    state: str
    features: tuple[str, ...]
    gpus: tuple[Gres, ...]
    reason: str = ""

    @property
    def usable(self) -> bool:
        """Whether it takes jobs now or when those of others end; ``*`` marks one that does not answer."""
        return not self.state.endswith("*") and self.state.rstrip("~#!%$@^-+") not in UNUSABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeClass:
    """Nodes of the same features and GPUs, as far as Slurm tells: a job on one of them tells the rest."""

    features: tuple[str, ...]
    gpus: tuple[Gres, ...]
    nodes: tuple[Node, ...]

    @property
    def usable(self) -> tuple[str, ...]:
        """The nodes that take jobs."""
        return tuple(node.name for node in self.nodes if node.usable)

    @property
    def words(self) -> str:
        """The class as a person knows it."""
        gpus = ",".join(each.request() for each in self.gpus) or "no GPU"
        return f"{gpus}; {','.join(self.features) or 'no features'}"


def parse_nodes(text: str) -> tuple[Node, ...]:
    """Read :data:`SINFO`'s answer. A node that stands in several partitions comes once.

    >>> node, = parse_nodes("gpu1|idle|hopper,ib|gpu:h100:8(S:0-1)|none")
    >>> node.features, node.gpus[0].request(), node.usable
    (('hopper', 'ib'), 'gpu:h100:8', True)
    """
    found: dict[str, Node] = {}
    for line in text.splitlines():
        name, _, rest = line.partition("|")
        parts = rest.split("|", 3)
        if len(parts) != 4 or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            continue
        state, features, gres, reason = (part.strip() for part in parts)
        found[name] = Node(
            name=name,
            state=state.lower(),
            features=tuple(sorted(_list(features))),
            gpus=parse_gres(gres),
            reason="" if reason in EMPTY else reason,
        )
    return tuple(found[name] for name in sorted(found, key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def _list(text: str) -> list[str]:
    return [] if text in EMPTY else [each for each in text.split(",") if each]


def parse_gres(text: str) -> tuple[Gres, ...]:
    """Read the GPUs in a list of generic resources; other resources are passed over.

    >>> parse_gres("gpu:a100:4(S:0),gpu:t4:2,shard:8")
    (Gres(type='a100', count=4), Gres(type='t4', count=2))
    """
    # A comma also stands inside brackets: (S:0,1) and (IDX:0-3,5).
    entries = re.split(r",(?![^(]*\))", text) if text not in EMPTY else []
    matches = (_GPU.fullmatch(entry.strip()) for entry in entries)
    found = [Gres(type=match["type"] or "", count=int(match["count"])) for match in matches if match]
    return tuple(each for each in sorted(found, key=lambda each: each.type) if each.count)


def node_classes(nodes: Iterable[Node]) -> tuple[NodeClass, ...]:
    """Group nodes by features and GPUs."""
    groups: dict[tuple[tuple[str, ...], tuple[Gres, ...]], list[Node]] = {}
    for node in nodes:
        groups.setdefault((node.features, node.gpus), []).append(node)
    return tuple(
        NodeClass(features=features, gpus=gpus, nodes=tuple(members)) for (features, gpus), members in groups.items()
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmJob:
    """A job, as an array with a task a node (or one task for a class, whose node Slurm chooses: ``nodes`` empty)."""

    step: str
    partition: str
    nodes: tuple[str, ...]
    gres: str
    """What is asked for on the node, empty for nothing."""
    excluded: tuple[str, ...] = ()
    """Nodes of other classes, where Slurm chooses."""
    batch: int | None = None
    """How many tasks run at once."""
    minutes: int = 30
    options: tuple[str, ...] = ()
    """Further options of sbatch: an account, a quality of service."""


def to_script(job: SlurmJob, *, folder: str, commands: Sequence[str], setup: Sequence[str] = ()) -> str:
    """The batch script of a job. Each task works in ``FOLDER/nodes/NODE``.

    Safe to be requeued: each answer is written beside its place and renamed, ``ended.json`` last; a task that is killed
    leaves none, and the next try starts from the beginning with what gpuenv itself resumes. ``commands`` are lines
    ``NAME WORDS…``: the answer goes to ``NAME.json``; after one that fails none follows, and the task
    ends with its code.
    """
    count = len(job.nodes)
    limit = f"%{job.batch}" if job.batch else ""
    head = [
        f"--job-name=gpuenv-{job.step}",
        f"--partition={job.partition}",
        "--nodes=1",
        "--ntasks=1",
        f"--time={job.minutes}",
        "--requeue",
        "--open-mode=append",
        f"--output={folder}/log/%x.{'%A_%a' if count else '%j'}",
        *([f"--array=0-{count - 1}{limit}"] if count else []),
        *([f"--gres={job.gres}"] if job.gres else []),
        *([f"--exclude={','.join(job.excluded)}"] if job.excluded else []),
        *job.options,
    ]
    lines = ["#!/bin/bash", *(f"#SBATCH {each}" for each in head), "set -u", "umask 077"]
    lines += [
        "node=${SLURMD_NODENAME:?this is a job script of Slurm}",
        f'place={quote(folder)}/nodes/"$node"',
        'try="$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}"',
        f'mkdir -p "$place" {quote(folder)}/ended && cd "$place" || exit 1',
        "code=0",
        "answer() { # NAME COMMAND...: keep what it prints, written in one step",
        '  [ "$code" = 0 ] || return 0',
        '  local to="$1.json"; shift',
        '  "$@" >"$to.$try"; code=$?',
        '  mv -f "$to.$try" "$to"',
        "}",
        *setup,
        *(f"answer {line}" for line in commands),
        "task=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}.${SLURM_ARRAY_TASK_ID:-0}",
        """printf '{"node": "%s", "task": "%s", "restart": %s, "exit_code": %s}\\n' "$node" "$task" \\""",
        '  "${SLURM_RESTART_COUNT:-0}" "$code" >"ended.$try"',
        f'mv -f "ended.$try" {quote(folder)}/ended/{job.step}."$task".json',
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def place_on_node(text: str) -> str:
    """A folder on a node, whose variables the node fills in (``/scratch/$USER``), as a word of a shell.

    Raises ``ValueError`` for anything that a shell would read as more than that.

    >>> place_on_node("/scratch/${USER}/env")
    '"/scratch/${USER}/env"'
    """
    if not re.fullmatch(r"(?:[A-Za-z0-9_./:@+-]|\$[A-Za-z_][A-Za-z0-9_]*|\$\{[A-Za-z_][A-Za-z0-9_]*\})+", text):
        raise ValueError(text)
    return f'"{text}"'


def drain(node: str, why: str) -> str:
    """The command that takes a node out of service: printed, never run.

    >>> drain("gpu1", "verification failed")
    "scontrol update NodeName=gpu1 State=DRAIN Reason='gpuenv: verification failed'"
    """
    return f"scontrol update NodeName={quote(node)} State=DRAIN Reason={quote(f'gpuenv: {why}'[:200])}"


def to_lines(gpuenv: str) -> str:
    """Lines for the site's administrator: a health check and a prolog that ask the driver and nothing else."""
    return "\n".join(
        [
            "# slurm.conf: a node whose driver does not answer takes no more jobs. gpuenv installs none of this.",
            "HealthCheckProgram=/etc/slurm/gpuenv-health.sh",
            "HealthCheckInterval=300",
            "HealthCheckNodeState=IDLE,CYCLE",
            "# Or before each job: a prolog that fails drains its node and requeues the job.",
            "Prolog=/etc/slurm/gpuenv-prolog.sh",
            "",
            "# /etc/slurm/gpuenv-health.sh",
            "#!/bin/sh",
            f"{gpuenv} detect -qq && exit 0",
            'exec scontrol update NodeName="$(hostname -s)" State=DRAIN Reason="gpuenv: the driver does not answer"',
            "",
            "# /etc/slurm/gpuenv-prolog.sh",
            "#!/bin/sh",
            f"exec {gpuenv} detect -qq",
            "",
        ]
    )
