"""Many hosts from one desk: their facts, one lock per class, the environments, the report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime
from pathlib import Path

from gpuenv import __version__
from gpuenv.commands import lock as locking
from gpuenv.dataclass import dataclass
from gpuenv.errors import GpuenvError, UsageError
from gpuenv.fleet.bundle import make_bundle
from gpuenv.fleet.classes import FleetClass, classes
from gpuenv.fleet.ctrf import to_ctrf
from gpuenv.fleet.desk import Desk, FleetHost
from gpuenv.fleet.page import page
from gpuenv.fleet.report import ClassLock, FleetReport, make_report, to_json
from gpuenv.installed.marker import lock_digest
from gpuenv.lock.model import Lock
from gpuenv.steps.carrying import carry_along
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.downloads import open_store
from gpuenv.steps.lock import read_sound
from gpuenv.steps.lock_file import lock_path
from gpuenv.steps.machine import MachineClass, TargetMachine, complete
from gpuenv.steps.new_lock import command_of
from gpuenv.steps.profile import load_profile
from gpuenv.steps.pythons import uv_of
from gpuenv.steps.rollout import HostOptions, HostWork, in_waves, opened

FOLDER = Path("fleet")
"""Where the desk keeps what the hosts said, relative to the project, where no other folder is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """What the actions on a fleet take. Paths are relative to the project."""

    folder: Path = FOLDER
    hosts: HostOptions = field(default_factory=HostOptions)
    verify: bool = True
    again: bool = False
    """Do also what is done: hosts whose evidence is of the same lock and driver."""
    canary: int = 0
    """Hosts of each class that are tried before its others."""
    batch: int = 0
    """Hosts at a time; 0: all."""
    max_fail: int = 100
    """Percent of a wave's hosts; where more fail, no further wave is begun."""
    shared: Path | None = None
    """A store of wheels that desk and hosts see under one path: none is copied then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOutcome(Outcome):
    """How the fleet stands now. ``folder`` is relative to the project where it is inside; ``files`` were written."""

    report: FleetReport
    folder: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleOutcome(Outcome):
    """A bundle for plain Ansible: its file, relative to the project where it is inside, and its digest."""

    bundle: str
    sha256: str


def bundle(context: Context, target: Path, *, carry: Path | None) -> BundleOutcome:
    """Write what installs gpuenv and uv on a host, for playbooks that are run by Ansible alone."""
    path = context.project / target
    with context.reporter.task("Packing gpuenv and uv"):
        carried = context.project / carry if carry is not None else None
        sha256 = make_bundle(path, uv=uv_of(context).path, carried=carried)
    return BundleOutcome(bundle=context.shown(path), sha256=sha256)


def desk_of(context: Context, options: FleetOptions) -> Desk:
    """The folder of the fleet."""
    return Desk(context.project / options.folder)


def detect(context: Context, options: FleetOptions) -> FleetOutcome:
    """Ask the hosts what they are, after gpuenv was brought to those that lack it."""
    desk = desk_of(context, options)
    with opened(context, desk, options.hosts) as rollout:
        rollout.detect()
    return standing(context, options, known_hosts(desk))


def create(context: Context, options: FleetOptions) -> FleetOutcome:
    """The whole way: facts, locks, environments, proofs, report. What is done already is left as it is."""
    context = replace(context, store=options.shared or context.store)
    desk = desk_of(context, options)
    problems: list[Failure] = []
    with opened(context, desk, options.hosts) as rollout:
        rollout.detect()
        hosts = tuple(desk.host(name) for name in rollout.inventory.hosts)
        problems += lock_classes(context, hosts)
        groups = groups_of(hosts)
        work, names = _work(context, options, hosts, groups, rollout.scratch)
        by_name = {each.host: each for each in work}

        def build(now: Sequence[str]) -> Sequence[str]:
            rollout.build([by_name[name] for name in now], verify=options.verify, store=options.shared, names=names)
            return [name for name in now if desk.host(name).problem is not None]

        problems += in_waves(
            list(by_name),
            {name: group.name for group in groups for name in group.members},
            canary=options.canary,
            batch=options.batch,
            max_fail=options.max_fail,
            build=build,
        )
    return standing(context, options, known_hosts(desk), problems=problems)


def _work(
    context: Context, options: FleetOptions, hosts: Sequence[FleetHost], groups: Sequence[FleetClass], scratch: Path
) -> tuple[list[HostWork], tuple[str, ...]]:
    """What is to be built where, by class and host, and the files that go along with each lock."""
    work: list[HostWork] = []
    names: dict[str, None] = {}
    by_name = {host.name: host for host in hosts}
    for group in groups:
        stands = class_lock(context, group)
        if stands is None:
            continue
        path, found = stands
        sha256 = lock_digest(path)
        todo = [
            name for name in group.members if options.again or not by_name[name].is_done(sha256, proved=options.verify)
        ]
        if len(todo) < len(group.members):
            context.reporter.say(f"{group.name}: {len(group.members) - len(todo)} done before, {len(todo)} to do")
        if not todo:
            continue
        carried = scratch / "classes" / group.name
        if options.shared is None:
            open_store(context).export(found, carried, name=profile_name(context))
        names |= dict.fromkeys(carry_along(context, carried, path, name=profile_name(context)))
        driver = group.machine.driver.version if group.machine.driver is not None else None
        work += [HostWork(host=name, carried=carried, lock_sha256=sha256, driver=driver) for name in todo]
    return work, tuple(name for name in names if not name.startswith("evidence/"))


def verify(context: Context, options: FleetOptions) -> FleetOutcome:
    """Prove again what stands on the hosts."""
    desk = desk_of(context, options)
    with opened(context, desk, options.hosts) as rollout:
        rollout.detect()
        built = [name for name in rollout.inventory.hosts if (host := desk.host(name)).built and not host.problem]
        rollout.verify(built)
    return standing(context, options, known_hosts(desk))


def lock(context: Context, options: FleetOptions) -> FleetOutcome:
    """Lock each class that the desk has facts of. One that cannot be locked does not stop the others."""
    desk = desk_of(context, options)
    hosts = known_hosts(desk)
    problems = lock_classes(replace(context, store=options.shared or context.store), hosts)
    return standing(context, options, hosts, problems=problems)


def lock_classes(context: Context, hosts: Sequence[FleetHost]) -> tuple[Failure, ...]:
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


def _python(context: Context, group: FleetClass, hosts: Sequence[FleetHost]) -> str | None:
    """The Python of a class: the one asked for, else the newest that each of its hosts has."""
    if context.options.python is not None:
        return context.options.python
    said = [set(host.pythons) for host in hosts if host.name in group.members and host.pythons]
    common = set.intersection(*said) if said else set[str]()
    if said and not common:
        raise UsageError(
            "its hosts have no version of Python in common",
            causes=[f"{host.name}: {', '.join(host.pythons)}" for host in hosts if host.name in group.members],
            hints=("Carry one to all of them: `gpuenv fleet detect -i INVENTORY --carry FOLDER`",),
        )
    return max(common, key=lambda text: int(text.split(".")[1]), default=None)


def report(context: Context, options: FleetOptions) -> FleetOutcome:
    """Put together what the desk knows, and write it as a page, as JSON and as CTRF."""
    return standing(context, options, known_hosts(desk_of(context, options)))


def known_hosts(desk: Desk) -> tuple[FleetHost, ...]:
    """What the desk knows of each host. Raises :class:`UsageError` where it knows none."""
    hosts = tuple(desk.host(name) for name in desk.names())
    if not hosts:
        raise UsageError(
            f"no host has been asked yet: there is nothing in {desk.folder / 'hosts'}",
            hints=("Ask them: `gpuenv fleet detect -i INVENTORY`",),
        )
    return hosts


def groups_of(hosts: Sequence[FleetHost]) -> tuple[FleetClass, ...]:
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
    context: Context, options: FleetOptions, hosts: Sequence[FleetHost], *, problems: Sequence[Failure] = ()
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
            sha256=lock_digest(path),
            torch=lock.decision.torch,
            variant=lock.decision.variant,
            python=lock.inputs.target.python,
            packages=len(lock.packages),
        )
    return found
