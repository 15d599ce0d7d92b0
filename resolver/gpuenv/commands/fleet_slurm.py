"""A fleet that Slurm runs: facts from a job per class of nodes, environments and proofs from a task per node."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import join, quote

from gpuenv import shell
from gpuenv.commands import fleet
from gpuenv.commands.fleet import FleetOptions, FleetOutcome
from gpuenv.errors import UsageError
from gpuenv.fleet.desk import Desk, HostProblem
from gpuenv.fleet.slurm import Node, NodeClass, SlurmJob, drain, node_classes, place_on_node, to_lines
from gpuenv.fleet.slurm_jobs import Slurm
from gpuenv.installed.marker import lock_digest
from gpuenv.lock.codec import lock_filename
from gpuenv.lock.model import Lock
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.downloads import open_store
from gpuenv.steps.jobs import SlurmJobs, SlurmOptions, SlurmWork
from gpuenv.steps.profile import load_profile
from gpuenv.steps.rollout import in_waves

NODES_FAULT = ("verification-failed", "driver-broken", "job-failed")
"""Kinds of failure that a node itself may be at fault for; a full disk or a wrong path is no reason to drain one."""
ALL = 100
"""Percent that may fail where nobody says less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmOutcome(FleetOutcome):
    """How the fleet stands. ``drain``: what the site may type for nodes that failed; none of it was run."""

    jobs: tuple[str, ...] = ()
    drain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesOutcome(Outcome):
    """Lines for others to use, which were written nowhere."""

    text: str


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
    jobs = SlurmJobs(context=context, slurm=slurm, desk=desk, asked=asked)
    problems: tuple[Failure, ...] = ()
    if asked.step == "detect" or not (options.canary or options.max_fail < ALL):
        done = jobs.run(work)
    else:
        done, problems = _in_waves(jobs, options, wanted)
    if asked.shared and asked.step == "create":
        # Once built, every other node proves it.
        rest = _proofs(context, desk, replace(asked, step="verify"), wanted)
        done += SlurmJobs(context=context, slurm=slurm, desk=desk, asked=replace(asked, step="verify")).run(rest)
    if asked.step == "detect":
        desk.write(desk.folder / "slurm" / "classes.json", json.dumps(_told(wanted, desk), indent=1))
    outcome = fleet.standing(context, options, fleet.known_hosts(desk), problems=problems)
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


def _in_waves(
    jobs: SlurmJobs, options: FleetOptions, nodes: Sequence[Node]
) -> tuple[tuple[str, ...], tuple[Failure, ...]]:
    """The step on some nodes first, on others only where that went well: jobs for each wave, one wave after another."""
    done = list(jobs.run(()))  # what an earlier command handed in comes to its end, and counts
    work = {name: each for each in _proofs(jobs.context, jobs.desk, jobs.asked, nodes) for name in each.job.nodes}

    def build(now: Sequence[str]) -> Sequence[str]:
        groups = {work[name].group: work[name] for name in now}
        done.extend(jobs.run([each.only(now) for each in groups.values()]))
        return [name for name in now if jobs.desk.host(name).problem is not None]

    problems = in_waves(
        list(work),
        {name: each.group for name, each in work.items()},
        canary=options.canary,
        batch=options.batch if options.max_fail < ALL else 0,  # else Slurm itself holds so many back
        max_fail=options.max_fail,
        build=build,
    )
    return tuple(done), problems


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


def _facts(slurm: Slurm, asked: SlurmOptions, nodes: Sequence[Node]) -> list[SlurmWork]:
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
        found.append(SlurmWork(job=job, commands=(f"detect {_gpuenv()} detect --json",), group=group.words))
    return found


def _told(nodes: Sequence[Node], desk: Desk) -> list[dict[str, object]]:
    """Which node spoke for which class."""
    rows: list[dict[str, object]] = []
    for group in node_classes(nodes):
        names = [node.name for node in group.nodes]
        told = next((name for name in names if desk.host(name).machine is not None), None)
        rows.append({"class": group.words, "nodes": names, "told": told})
    return rows


def _proofs(context: Context, desk: Desk, asked: SlurmOptions, nodes: Sequence[Node]) -> list[SlurmWork]:
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
            if asked.again or not (asked.step == "create" and desk.host(name).is_done(lock_digest(path), proved=True))
        )
        if asked.shared and asked.step == "create":
            todo = todo[:1]
        elif asked.shared:
            todo = tuple(name for name in todo if not desk.host(name).is_done(lock_digest(path), proved=True))
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


def _work(context: Context, asked: SlurmOptions, job: SlurmJob, *, path: Path, lock: Lock, group: str) -> SlurmWork:
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
    return SlurmWork(job=job, commands=tuple(commands), setup=tuple(setup), group=group)


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
