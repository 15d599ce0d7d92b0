"""Jobs of Slurm for one step of a fleet: handed in or found again, waited for, their answers brought to the desk."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from gpuenv.fleet.desk import EVIDENCE, Desk, HostProblem
from gpuenv.fleet.slurm import SlurmJob, to_script
from gpuenv.fleet.slurm_jobs import Slurm, TaskState, object_in, problem_of
from gpuenv.steps.context import Context
from gpuenv.system.files import present, read_text, write_atomic

Step = Literal["detect", "create", "verify", "lines"]
STEPS: tuple[Step, ...] = ("detect", "create", "verify", "lines")
JOBS = "jobs.json"
"""Jobs that were handed in and not yet answered: typed again, the command waits for these instead of new ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmOptions:
    """What `fleet slurm` takes. ``environment``: where it is built on a node; ``shared``: once, on a disk of all."""

    step: Step
    partition: str
    environment: str | None = None
    shared: bool = False
    gpus: int | None = None
    """How many GPUs a task asks for; ``None``: all of its node's."""
    batch: int | None = None
    minutes: int = 30
    sbatch: tuple[str, ...] = ()
    again: bool = False
    """Do also what is done."""
    deadline: float = 86400.0
    """Seconds to wait for the jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmWork:
    """One job: what its script is made of, and which nodes it is for."""

    job: SlurmJob
    commands: tuple[str, ...]
    setup: tuple[str, ...] = ()
    group: str = ""

    @property
    def count(self) -> int:
        return len(self.job.nodes) or 1

    def only(self, nodes: Sequence[str]) -> SlurmWork:
        """The same for some of its nodes."""
        chosen = tuple(name for name in self.job.nodes if name in nodes)
        return replace(self, job=replace(self.job, nodes=chosen))


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmJobs:
    """The jobs of one step: handed in, or found again, waited for, and their answers brought to the desk."""

    context: Context
    slurm: Slurm
    desk: Desk
    asked: SlurmOptions

    @property
    def folder(self) -> Path:
        return (self.desk.folder / "slurm").resolve()

    def run(self, work: Sequence[SlurmWork]) -> tuple[str, ...]:
        """Run jobs side by side; Ctrl-C leaves them to Slurm, and the same command finds them again."""
        (self.folder / "log").mkdir(parents=True, exist_ok=True)
        known = self._open()
        started: list[tuple[str, tuple[str, ...], int]] = []
        if known:
            self.context.reporter.say(f"Waiting for {', '.join(job for job, _, _ in known)}, handed in before")
            started = known
        else:
            for number, each in enumerate(work):
                started.append(self._submit(number, each))
                self._keep(started)
        deadline = time.monotonic() + self.asked.deadline
        for job, nodes, count in started:
            states = self.slurm.wait(job, count, deadline=deadline, answered=partial(self._answered, job))
            for index in range(count):
                self._collect(job, index, nodes, states[index])
        self._keep([])
        return tuple(job for job, _, _ in started)

    def _submit(self, number: int, work: SlurmWork) -> tuple[str, tuple[str, ...], int]:
        script = self.folder / f"{work.job.step}-{number}.sh"
        text = to_script(work.job, folder=str(self.folder), commands=work.commands, setup=work.setup)
        write_atomic(script, text, what="the job's script")
        job = self.slurm.submit(script, nodes=work.job.nodes)
        where = f"{work.count} task{'' if work.count == 1 else 's'}" if work.job.nodes else "one node of the class"
        self.context.reporter.say(f"Job {job}: {work.job.step} on {where} ({work.group}); give it up: scancel {job}")
        return job, work.job.nodes, work.count

    def _open(self) -> list[tuple[str, tuple[str, ...], int]]:
        """Jobs of this step that were handed in before and have tasks left."""
        path = self.folder / JOBS
        rows = object_in(path).get(self.asked.step) if present(path) else None
        found = []
        for row in rows if isinstance(rows, list) else ():
            job, nodes, count = str(row["job"]), tuple(map(str, row["nodes"])), int(row["count"])
            if any(state.active for state in self.slurm.states(job).values()):
                found.append((job, nodes, count))
        return found

    def _keep(self, started: Sequence[tuple[str, tuple[str, ...], int]]) -> None:
        path = self.folder / JOBS
        rows = [{"job": job, "nodes": list(nodes), "count": count} for job, nodes, count in started]
        known = object_in(path) if present(path) else {}
        self.desk.write(path, json.dumps({**known, self.asked.step: rows}, indent=1))

    def _ended(self, job: str, index: int) -> Mapping[str, Any]:
        path = self.folder / "ended" / f"{self.asked.step}.{job}.{index}.json"
        return object_in(path) if present(path) else {}

    def _answered(self, job: str, index: int) -> bool:
        return bool(self._ended(job, index))

    def _collect(self, job: str, index: int, nodes: Sequence[str], state: TaskState) -> None:
        """Bring what one task answered to the desk; one that answered nothing is named with Slurm's word for it."""
        ended = self._ended(job, index)
        name = str(ended.get("node") or (nodes[index] if nodes else state.node))
        if not name:
            self.context.reporter.warn(f"job {job} ended without a node: {state.state} ({state.reason})")
            return
        step, place = self.asked.step, self.folder / "nodes" / name
        self.desk.keep(name, "host.json", {"name": name})
        if not ended:
            why = f"{state.state.lower() or 'gone'}" + (f", {state.reason}" if state.reason not in ("", "None") else "")
            message = f"task {job}_{index} left no answer: {why}"
            log = self.context.shown(self.folder / "log" / f"gpuenv-{step}.{job}_{index}")
            self.desk.keep_problem(
                name, HostProblem(step=step, kind="job-failed", message=message, causes=(f"its log: {log}",))
            )
            return
        answers = {
            each: object_in(place / f"{each}.json") for each in ("detect", step) if present(place / f"{each}.json")
        }
        machine = answers.get("detect", {}).get("data")
        if isinstance(machine, dict) and machine:
            self.desk.keep(name, "machine.json", machine)
        problem = next((found for each, answer in answers.items() if (found := problem_of(each, answer))), None)
        if problem is None and ended.get("exit_code") != 0:
            problem = HostProblem(
                step=step, kind="job-failed", message=f"task {job}_{index} ended with code {ended.get('exit_code')}"
            )
        if step != "detect":
            self._bring_proof(name, place, answers.get(step, {}))
        self.desk.keep_problem(name, problem)
        host = self.desk.host(name)
        again = f", on its try {ended['restart'] + 1}" if ended.get("restart") else ""
        said = problem.message if problem else f"{step} done{again}"
        self.context.reporter.say(f"{host.name}: {said}")

    def _bring_proof(self, name: str, place: Path, answer: Mapping[str, Any]) -> None:
        files = {
            file: read_text(place / "evidence" / file, what="the evidence")
            for file in EVIDENCE
            if present(place / "evidence" / file)
        }
        if files:
            self.desk.keep_evidence(name, files)
        host, data = self.desk.host(name), answer.get("data")
        if not isinstance(data, dict) or answer.get("status") != "ok":
            return
        about = (host.evidence or {}).get("about")
        driver = host.machine.driver if host.machine is not None else None
        lock = about.get("lock_sha256") if isinstance(about, dict) else None
        built = {
            **host.built,
            "lock_sha256": lock,
            "driver": None if driver is None else driver.version,
            "verified": (host.evidence or {}).get("verdict") in ("passed", "unusual"),
        }
        if self.asked.step == "create":
            seconds = data.get("seconds")
            built |= {"torch": data.get("torch"), "python": data.get("python")}
            built |= {"seconds": round(sum(seconds.values()), 1) if isinstance(seconds, dict) and seconds else None}
        self.desk.keep(name, "built.json", built)
