"""Many hosts from one desk: their facts, one lock per class, the environments, the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from gpuenv import __version__
from gpuenv.commands import lock as locking
from gpuenv.errors import GpuenvError, UsageError
from gpuenv.fleet.classes import FleetClass, classes
from gpuenv.fleet.ctrf import to_ctrf
from gpuenv.fleet.desk import Desk, Host
from gpuenv.fleet.page import page
from gpuenv.fleet.report import ClassLock, FleetReport, make_report, to_json
from gpuenv.installed.marker import digest
from gpuenv.lock.model import Lock
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.lock import command_of, lock_path, read_sound
from gpuenv.steps.machine import MachineClass, TargetMachine, complete
from gpuenv.steps.profile import load_profile

FOLDER = Path("fleet")
"""Where the desk keeps what the hosts said, relative to the project, where no other folder is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What every action on a fleet takes."""

    folder: Path = FOLDER
    inventories: tuple[str, ...] = ()
    limit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOutcome(Outcome):
    """How the fleet stands now. ``folder`` is relative to the project where it is inside; ``files`` were written."""

    report: FleetReport
    folder: str
    files: tuple[str, ...] = ()


def desk_of(context: Context, options: FleetOptions) -> Desk:
    """The folder of the fleet."""
    return Desk(context.project / options.folder)


def lock(context: Context, options: FleetOptions) -> FleetOutcome:
    """Lock each class that the desk has facts of. One that cannot be locked does not stop the others."""
    desk = desk_of(context, options)
    hosts = known_hosts(desk)
    problems = lock_classes(context, hosts)
    return standing(context, options, hosts, problems=problems)


def lock_classes(context: Context, hosts: Sequence[Host]) -> tuple[Failure, ...]:
    """Write the lock of each class, its wheels kept at the desk; returns why some have none."""
    profile, problems = load_profile(context), list[Failure]()
    command = command_of(context, profile, single_source=False).replace("gpuenv lock", "gpuenv fleet lock", 1)
    for group in groups_of(hosts):
        machine = TargetMachine(facts=complete(group.machine), here=False, origin=f"class {group.name}")
        found = MachineClass(name=group.name, machine=machine, members=group.members)
        try:
            python = _python(context, group, hosts)
            asked = replace(context, options=replace(context.options, python=python))
            outcome = locking.run(asked, locking.LockOptions(classes=(found,), command=command, keep=True))
        except GpuenvError as error:
            problems.append(replace(Failure.of(error), message=f"class {group.name}: {error.message}"))
            continue
        problems += outcome.problems
    return tuple(problems)


def _python(context: Context, group: FleetClass, hosts: Sequence[Host]) -> str | None:
    """The Python of a class: the one asked for, else the newest that each of its hosts has."""
    if context.options.python is not None:
        return context.options.python
    said = [set(host.pythons) for host in hosts if host.name in group.members and host.pythons]
    common = set.intersection(*said) if said else set[str]()
    if said and not common:
        raise UsageError(
            "its hosts have no version of Python in common",
            causes=[f"{host.name}: {', '.join(host.pythons)}" for host in hosts if host.name in group.members],
        )
    return max(common, key=lambda text: int(text.split(".")[1]), default=None)


def report(context: Context, options: FleetOptions) -> FleetOutcome:
    """Put together what the desk knows, and write it as a page, as JSON and as CTRF."""
    return standing(context, options, known_hosts(desk_of(context, options)))


def known_hosts(desk: Desk) -> tuple[Host, ...]:
    """What the desk knows of each host. Raises :class:`UsageError` where it knows none."""
    hosts = tuple(desk.host(name) for name in desk.names())
    if not hosts:
        raise UsageError(
            f"no host has been asked yet: there is nothing in {desk.folder / 'hosts'}",
        )
    return hosts


def groups_of(hosts: Sequence[Host]) -> tuple[FleetClass, ...]:
    """The classes of hosts whose facts are known."""
    return classes({host.name: host.machine for host in hosts if host.machine is not None})


def profile_name(context: Context) -> str:
    """The profile that the locks are of."""
    return load_profile(context).name


def class_lock(context: Context, group: FleetClass) -> tuple[Path, Lock] | None:
    """The lock of a class and its file; ``None`` where there is none yet."""
    name = profile_name(context)
    path = lock_path(context, f"{name}-{group.name}")
    found = read_sound(context, path, profile=name)
    return None if found is None else (path, found)


def standing(
    context: Context, options: FleetOptions, hosts: Sequence[Host], *, problems: Sequence[Failure] = ()
) -> FleetOutcome:
    """The report of hosts as they stand, written into the desk's folder. Exit 1 where a host failed."""
    desk = desk_of(context, options)
    found = make_report(
        hosts,
        locks=_locks(context, groups_of(hosts)),
        created=datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z",
        gpuenv=__version__,
        profile=profile_name(context),
    )
    texts = {
        "report.json": json.dumps(to_json(found), indent=1, ensure_ascii=False),
        "ctrf.json": json.dumps(to_ctrf(found), indent=1, ensure_ascii=False),
        "report.html": page(found),
    }
    for name, text in texts.items():
        desk.write(desk.folder / name, text)
    failed = tuple(
        Failure(
            code=row.host.problem.kind if row.host.problem is not None else "verification-failed",
            message=f"{row.host.name}: {row.why}",
            causes=() if row.host.problem is None else row.host.problem.causes,
            hints=() if row.host.problem is None else row.host.problem.hints,
        )
        for row in found.hosts
        if row.verdict == "failed"
    )
    return FleetOutcome(
        report=found,
        folder=context.shown(desk.folder),
        files=tuple(context.shown(desk.folder / name) for name in texts),
        exit_code=1 if failed or problems else 0,
        problems=(*problems, *failed),
    )


def _locks(context: Context, groups: Sequence[FleetClass]) -> Mapping[str, ClassLock]:
    found = {}
    for group in groups:
        stands = class_lock(context, group)
        if stands is None:
            continue
        path, lock = stands
        found[group.name] = ClassLock(
            path=context.shown(path),
            sha256=digest(path),
            torch=lock.decision.torch,
            variant=lock.decision.variant,
            python=lock.inputs.target.python,
            packages=len(lock.packages),
        )
    return found
