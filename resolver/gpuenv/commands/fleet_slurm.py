"""A fleet that Slurm runs: facts from a job per class of nodes, environments and proofs from a task per node."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shlex import join, quote
from typing import Any, Literal

from gpuenv import shell
from gpuenv.commands import fleet
from gpuenv.commands.fleet import FleetOptions, FleetOutcome
from gpuenv.errors import UsageError
from gpuenv.fleet.desk import EVIDENCE, Desk, HostProblem
from gpuenv.fleet.slurm import Node, NodeClass, SlurmJob, drain, node_classes, place_on_node, to_lines, to_script
from gpuenv.fleet.slurm_jobs import Slurm, TaskState, object_in, problem_of
from gpuenv.installed.marker import digest
from gpuenv.lock.codec import lock_filename
from gpuenv.lock.model import Lock
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.downloads import open_store
from gpuenv.steps.profile import load_profile
from gpuenv.system.files import present, read_text, write_atomic

Step = Literal["detect", "create", "verify", "lines"]
STEPS: tuple[Step, ...] = ("detect", "create", "verify", "lines")
NODES_FAULT = ("verification-failed", "driver-broken", "job-failed")
"""Kinds of failure that a node itself may be at fault for; a full disk or a wrong path is no reason to drain one."""
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
class SlurmOutcome(FleetOutcome):
    """How the fleet stands. ``drain``: what the site may type for nodes that failed; none of it was run."""

    jobs: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesOutcome(Outcome):
    """Lines for others to use, which were written nowhere."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _SlurmWork:
    """One job: what its script is made of, and which nodes it is for."""

    job: SlurmJob
    commands: tuple[str, ...]
    setup: tuple[str, ...] = ()
    group: str = ""

    @property
    def count(self) -> int:
        return len(self.job.nodes) or 1


def run(context: Context, options: FleetOptions, asked: SlurmOptions) -> SlurmOutcome | LinesOutcome:
    """Do one step on a partition. A node that fails is named, and the rest is done; exit 1 then."""
    if asked.step == "lines":
        return LinesOutcome(text=to_lines(_gpuenv()))
    slurm, desk = Slurm(context.environ), fleet.desk_of(context, options)
    nodes = slurm.nodes(asked.partition)
    if not nodes:
        raise UsageError(
            f"partition {asked.partition} has no node, or there is none of that name", hints=("See them: `sinfo`",)
        )
    wanted = _limited(nodes, options.hosts.limit)
    work = _facts(slurm, asked, wanted) if asked.step == "detect" else _proofs(context, desk, asked, wanted)
    for node in wanted:
        if not node.usable:
            reason = f": {node.reason}" if node.reason else ""
            problem = HostProblem(step=asked.step, kind="node-unavailable", message=f"it is {node.state}{reason}")
            desk.keep(node.name, "host.json", {"name": node.name})
            desk.keep_problem(node.name, problem)
    jobs = _Jobs(context=context, slurm=slurm, desk=desk, asked=asked)
    done = jobs.run(work)
    if asked.shared and asked.step == "create":
        # Once built, every other node proves it.
        rest = _proofs(context, desk, replace(asked, step="verify"), wanted)
        done += _Jobs(context=context, slurm=slurm, desk=desk, asked=replace(asked, step="verify")).run(rest)
    if asked.step == "detect":
        desk.write(desk.folder / "slurm" / "classes.json", json.dumps(_told(wanted, desk), indent=1))
    outcome = fleet.standing(context, options, fleet.known_hosts(desk))
    here = {node.name for node in wanted}
    failed = [row for row in outcome.report.hosts if row.verdict == "failed" and row.host.name in here]
    return SlurmOutcome(
        report=outcome.report,
        folder=outcome.folder,
        files=outcome.files,
        exit_code=outcome.exit_code,
        problems=outcome.problems,
        jobs=done,
        drain=tuple(
            drain(row.host.name, row.why)
            for row in failed
            if row.host.problem is None or row.host.problem.kind in NODES_FAULT
        ),
    )


def _gpuenv() -> str:
    return join([sys.executable, "-m", "gpuenv"])


def _limited(nodes: Sequence[Node], limit: str | None) -> tuple[Node, ...]:
    if limit is None:
        return tuple(nodes)
    names = {each.strip() for each in limit.split(",")}
    if unknown := names - {node.name for node in nodes}:
        raise UsageError(
            f"--limit names {', '.join(sorted(unknown))}, which the partition does not have",
            hints=("See its nodes: `sinfo -N`",),
        )
    return tuple(node for node in nodes if node.name in names)


def _facts(slurm: Slurm, asked: SlurmOptions, nodes: Sequence[Node]) -> list[_SlurmWork]:
    """One small job per class: on whichever of its nodes is free first, with one GPU of each type."""
    everyone, found = slurm.nodes(""), []
    for group in node_classes(nodes):
        if not group.usable:
            continue
        others = tuple(node.name for node in everyone if node.name not in group.usable)
        job = SlurmJob(
            step="detect",
            partition=asked.partition,
            nodes=(),
            gres=",".join(each.request(1) for each in group.gpus),
            excluded=others,
            minutes=min(asked.minutes, 10),
            options=asked.sbatch,
        )
        found.append(_SlurmWork(job=job, commands=(f"detect {_gpuenv()} detect --json",), group=group.words))
    return found


def _told(nodes: Sequence[Node], desk: Desk) -> list[dict[str, object]]:
    """Which node spoke for which class."""
    rows: list[dict[str, object]] = []
    for group in node_classes(nodes):
        names = [node.name for node in group.nodes]
        told = next((name for name in names if desk.host(name).machine is not None), None)
        rows.append({"class": group.words, "nodes": names, "told": told})
    return rows


def _proofs(context: Context, desk: Desk, asked: SlurmOptions, nodes: Sequence[Node]) -> list[_SlurmWork]:
    """One task per node that is not done yet, an array per class."""
    found = []
    for group in node_classes(nodes):
        if not group.usable:
            continue
        locked = _lock_of(context, desk, group)
        path, lock = locked
        todo = tuple(
            name
            for name in group.usable
            if asked.again or not (asked.step == "create" and desk.host(name).is_done(digest(path), proved=True))
        )
        if asked.shared and asked.step == "create":
            todo = todo[:1]
        elif asked.shared:
            todo = tuple(name for name in todo if not desk.host(name).is_done(digest(path), proved=True))
        if not todo:
            context.reporter.say(f"{group.words}: nothing to do")
            continue
        job = SlurmJob(
            step=asked.step,
            partition=asked.partition,
            nodes=todo,
            gres=",".join(each.request(asked.gpus) for each in group.gpus),
            batch=asked.batch,
            minutes=asked.minutes,
            options=asked.sbatch,
        )
        found.append(_work(context, asked, job, path=path, lock=lock, group=group.words))
    return found


def _lock_of(context: Context, desk: Desk, group: NodeClass) -> tuple[Path, Lock]:
    """The lock of a class of nodes: that of the machine which one of them is."""
    hosts = [desk.host(node.name) for node in group.nodes]
    told = next((host for host in hosts if host.machine is not None), None)
    profile = fleet.profile_name(context)
    if told is None:
        raise UsageError(
            f"it is not known what the nodes {group.nodes[0].name} … are ({group.words})",
            hints=("Ask them first: `gpuenv fleet slurm detect --partition PARTITION`",),
        )
    (machine_class,) = fleet.groups_of([told])
    locked = fleet.class_lock(context, machine_class)
    if locked is None:
        raise UsageError(
            f"class {machine_class.name} has no lock",
            hints=(f"Make it here: `gpuenv fleet lock --profile {shell.quote(profile)}`",),
        )
    return locked


def _work(context: Context, asked: SlurmOptions, job: SlurmJob, *, path: Path, lock: Lock, group: str) -> _SlurmWork:
    profile = load_profile(context)
    common = f"--profile {quote(profile.name)} --evidence evidence --json --no-progress"
    target = _target(context, asked, path)
    lockfile = f"lockfiles/{lock_filename(profile.name)}"
    copied = f'mkdir -p lockfiles && cp {quote(str(path))} "{lockfile}.$try" && mv -f "{lockfile}.$try" "{lockfile}"'
    setup = [f"{copied} || exit 1"]
    if not profile.origin.startswith("bundled:"):
        origin = quote(str((context.project / profile.origin).resolve()))
        setup.append(f"mkdir -p profiles && cp {origin} {quote(f'profiles/{profile.name}.toml')} || exit 1")
    store = quote(str(open_store(context).folder))
    python = f"--python {quote(lock.inputs.target.python)}"
    commands = [f"detect {_gpuenv()} detect --json"]
    if job.step == "create":
        setup.append(f'mkdir -p "$(dirname {target})"')
        commands.append(f"create {_gpuenv()} create {target} {common} --no-project --offline --store {store} {python}")
    else:
        commands.append(f"verify {_gpuenv()} verify {target} {common}")
    return _SlurmWork(job=job, commands=tuple(commands), setup=tuple(setup), group=group)


def _target(context: Context, asked: SlurmOptions, path: Path) -> str:
    """Where the environment stands, as a word of the node's shell."""
    place = asked.environment
    if place is None:
        name = load_profile(context).environment
        # On a disk that all share: a folder for each class, else for each node, which is where its task works.
        place = str(context.project / f"{name}-{path.stem.partition('.')[2]}") if asked.shared else name
    try:
        return place_on_node(place)
    except ValueError as error:
        raise UsageError(
            f"{place} is no folder that a job can be given: letters, digits, ./_- and variables like $USER",
            hints=("Name another: `gpuenv fleet slurm create --environment '/scratch/$USER/env'`",),
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _Jobs:
    """The jobs of one step: handed in, or found again, waited for, and their answers brought to the desk."""

    context: Context
    slurm: Slurm
    desk: Desk
    asked: SlurmOptions

    @property
    def folder(self) -> Path:
        return (self.desk.folder / "slurm").resolve()

    def run(self, work: Sequence[_SlurmWork]) -> tuple[str, ...]:
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

    def _submit(self, number: int, work: _SlurmWork) -> tuple[str, tuple[str, ...], int]:
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
