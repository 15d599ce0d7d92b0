"""Talks to Slurm: its nodes, jobs handed to it, how their tasks stand. The cluster is never changed."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_json
from gpuenv.errors import GpuenvError, UsageError
from gpuenv.fleet.desk import HostProblem
from gpuenv.fleet.slurm import SINFO, Node, parse_nodes
from gpuenv.system import process
from gpuenv.system.files import read_text
from gpuenv.system.process import Ended, Limits

EVERY = 2.0
"""Seconds between two questions after a job."""
MISSED = 15
"""Questions in a row that a controller may leave unanswered."""
ACTIVE = ("PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "REQUEUED", "RESIZING", "SIGNALING",
          "STAGE_OUT", "STOPPED", "REQUEUE_FED")  # fmt: skip
HOPELESS = re.compile(
    r"ReqNodeNotAvail|DOWN|DRAINED|launch failed|JobHeld|BadConstraints|NodeDown|InvalidQOS|Dependency"
)
"""Reasons (squeue(1), JOB REASON CODES) for which a task that needs one node waits for a person, not for its turn."""


class SlurmError(GpuenvError):
    """Slurm does not do what it was asked; its own words are among the causes."""

    code = "slurm"
    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """How one task of a job stands. ``state`` is Slurm's word, empty where it knows the task no more."""

    state: str
    reason: str = ""
    node: str = ""

    @property
    def active(self) -> bool:
        """Whether it waits, runs, or is about to run again."""
        return self.state in ACTIVE


@dataclass(frozen=True, slots=True)
class Slurm:
    """The cluster that this machine hands jobs to."""

    environ: Mapping[str, str]

    def nodes(self, partition: str) -> tuple[Node, ...]:
        """The nodes of a partition; those of all of them for an empty name."""
        return parse_nodes(self._run([*SINFO, *(["--partition", partition] if partition else [])]))

    def submit(self, script: Path, *, nodes: Sequence[str]) -> str:
        """Hand in a script and return the job's number; with ``nodes`` its tasks run on these, one on each.

        The job is held until every task has its node: an array has one list of nodes for all of its tasks.
        """
        job = self._run(["sbatch", "--parsable", *(["--hold"] if nodes else []), str(script)]).strip().split(";")[0]
        try:
            for index, node in enumerate(nodes):
                self._run(["scontrol", "update", f"JobId={job}_{index}", f"NodeList={node}"])
            if nodes:
                self._run(["scontrol", "release", job])
        except BaseException:
            self.cancel(job)
            raise
        return job

    def states(self, job: str) -> Mapping[int, TaskState]:
        """How the tasks of a job stand, by number; a job without tasks is task 0. What Slurm forgot is absent."""
        found: dict[int, TaskState] = {}
        command = ["squeue", "--noheader", "--array", "--states=all", "--jobs", job, "--format", "%K|%T|%r|%N"]
        for line in self._run(command, absent="Invalid job id").splitlines():
            parts = line.strip().split("|")
            if len(parts) == 4:
                index = int(parts[0]) if parts[0].isdecimal() else 0
                found[index] = TaskState(state=parts[1], reason=parts[2], node=parts[3])
        return found

    def cancel(self, job: str, index: int | None = None) -> None:
        """End a job of ours, or one of its tasks."""
        self._run(["scancel", job if index is None else f"{job}_{index}"], absent="Invalid job id")

    def wait(
        self, job: str, count: int, *, deadline: float, answered: Callable[[int], bool]
    ) -> Mapping[int, TaskState]:
        """Wait until every task has ended, and return how. ``answered`` says whether a task's answer is there.

        A task that waits for a node which is not there is cancelled. ``deadline`` is a point of
        :func:`time.monotonic`: what runs then is left to run, and returned as it stands.
        """
        last: dict[int, TaskState] = {}
        missed = 0
        while True:
            try:
                now, missed = self.states(job), 0
            except SlurmError:
                missed += 1
                if missed > MISSED:
                    raise
                time.sleep(EVERY)
                continue
            for index in range(count):
                state = now.get(index, TaskState(state=""))
                if state.state == "PENDING" and HOPELESS.search(state.reason):
                    self.cancel(job, index)
                    state = TaskState(state="CANCELLED", reason=state.reason, node=state.node)
                if index not in last or last[index].active:
                    last[index] = state
            open_ = [index for index in range(count) if last[index].active and not answered(index)]
            if not open_ or time.monotonic() > deadline:
                return last
            time.sleep(EVERY)

    def _run(self, command: Sequence[str], *, absent: str = "") -> str:
        path = shutil.which(command[0], path=self.environ.get("PATH", ""))
        if path is None:
            raise UsageError(
                f"there is no {command[0]} here: this is no machine that hands jobs to Slurm",
                hints=("On hosts without Slurm: `gpuenv fleet --help`",),
            )
        done = process.run([path, *command[1:]], environ=self.environ, limits=Limits(deadline=60))
        if isinstance(done, Ended) and done.returncode == 0:
            return done.stdout
        said = done.stderr.strip().splitlines()[:4] if isinstance(done, Ended) else ["it did not answer within 60 s"]
        if absent and any(absent in line for line in said):
            return ""
        raise SlurmError(f"{' '.join(command[:2])} failed", causes=said, hints=("See how the cluster stands: `sinfo`",))


def problem_of(step: str, answer: Mapping[str, Any]) -> HostProblem | None:
    """What a task that did not end well says of it; nothing where it did."""
    errors = answer.get("errors")
    if answer.get("status") == "ok" or not isinstance(errors, list) or not errors:
        return None
    first = errors[0]
    return HostProblem(
        step=step,
        kind=str(first.get("code")),
        message=str(first.get("message")),
        causes=tuple(map(str, first.get("causes") or ())),
        hints=tuple(map(str, first.get("hints") or ())),
    )


def object_in(path: Path) -> Mapping[str, Any]:
    """The object in a file that a task wrote; empty where it is none."""
    try:
        value = parse_json(read_text(path, what="a task's answer"))
    except DocumentError:
        return {}
    return value if isinstance(value, dict) else {}
