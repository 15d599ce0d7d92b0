"""A new lock: what is decided, and what the decision needs, put into one file.

A lock is a pure function of profile, requirements, machine target, index snapshot, cutoff time and knowledge version;
this module collects them, the rooms do the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv import knowledge as tables
from gpuenv.environment import dependencies, joint
from gpuenv.environment.dependencies import FamilyGapError
from gpuenv.errors import (
    IntegrityError,
    NoFittingWheelError,
    NoSolutionError,
    UvError,
)
from gpuenv.lock import making
from gpuenv.lock.check import changed_requirements
from gpuenv.lock.model import Lock, LockedPackage, LockInputs
from gpuenv.model.profile import Profile
from gpuenv.net.location import public
from gpuenv.select.beside import Unfit
from gpuenv.steps.companion_check import unfit_in
from gpuenv.steps.context import Context
from gpuenv.steps.decision import Decided, NothingFitsError, decide, say_decision
from gpuenv.steps.dependencies import LockRequest, dependency_request, resolver_of, with_compiled_for
from gpuenv.steps.lock import Locked
from gpuenv.steps.lock_file import FOLDER, find_lock, write_lock
from gpuenv.steps.lock_options import LISTS, recorded_options, with_lock_options
from gpuenv.steps.machine import TargetMachine, in_scope
from gpuenv.steps.project import asked_of
from gpuenv.steps.source_builds import with_builds
from gpuenv.steps.sources import open_http
from gpuenv.steps.together import decide_together
from gpuenv.steps.torch_source import DecidedSource, with_pages
from gpuenv.steps.ways_out import with_ways_out
from gpuenv.system.files import require_inside, require_writable

MOST_PASSED_OVER = 12
"""Releases of packages that are passed over because they do not go with torch; each costs a resolution or two."""
MOST_DAYS_BACK = 10
"""Nightlies to pass over for want of what torch needs: the longest gap of half a year (docs/nightlies.md) and a day."""


def make_lock(context: Context, decided: Decided, how: LockRequest) -> Lock:
    """Resolve what a decision needs and put everything into a lock. Writes nothing."""
    source = DecidedSource(context, decided, previous=how.previous, tentative=how.tentative)
    request = dependency_request(context, decided, how)
    resolver = resolver_of(context)
    try:
        packages = dependencies.resolve_dependencies(request, source=source, hash_of=source.hash_of, resolver=resolver)
    except UvError as error:
        raise with_pages(decided, source, with_compiled_for(decided, joint.refusal(request, error))) from None
    packages = tuple(_marked_as_signed(context, package) for package in packages)
    _compare_hashes(decided, packages)
    before = {} if how.previous is None else {each.sha256: each.unknown for each in how.previous.packages}
    packages = tuple(replace(package, unknown=before.get(package.sha256, ())) for package in packages)
    return Lock(
        command=how.command or command_of(context, decided.profile, single_source=how.single_source),
        inputs=LockInputs(
            profile=decided.profile.name,
            profile_digest=making.profile_digest(decided.profile),
            target=making.raised(request.target, packages),
            snapshot=decided.catalog.snapshot,
            sources=(decided.place.shown,),
            cutoff=context.options.exclude_newer,
            knowledge=tables.load().version,
            options=tuple(recorded_options(context.options) if how.options is None else how.options),
            requirements=tuple(asked_of(context).recorded),
            family_hosts=making.hosts_of(packages, family=True),
            package_hosts=making.hosts_of(packages, family=False),
        ),
        decision=making.decision_of(decided.decision, decided.profile, single_source=how.single_source),
        packages=packages,
    )


def _compare_hashes(decided: Decided, packages: Sequence[LockedPackage]) -> None:
    """Refuse a file that the project's own hashes do not name."""
    locked = {package.name: package for package in packages}
    for row in decided.request.stated:
        package = locked.get(canonicalize_name(Requirement(row.text).name))
        if package is not None and row.hashes and package.sha256 not in row.hashes:
            raise IntegrityError(
                f"{row.place}: {package.filename} has none of the hashes that stand there",
                causes=(f"it is sha256 {package.sha256} ({package.hash_origin})", f"from {public(package.location)}"),
                hints=(f"If the new file is right, give the old hashes up: --relax {package.name}",),
            )


def _marked_as_signed(context: Context, package: LockedPackage) -> LockedPackage:
    """Say of a wheel that its address alone does not fetch it."""
    signed = package.url is not None and bool(open_http(context).address(package.url).query)
    return replace(package, signed=package.signed or signed)


def command_of(context: Context, profile: Profile, *, single_source: bool, machines: Sequence[Path] = ()) -> str:
    """The command that makes this lock again: the options that shaped it, nothing of this machine's folders."""
    options = context.options
    words = ["gpuenv", "lock", "--profile", profile.name]
    if options.machine is not None:
        words += ["--machine", options.machine.as_posix()]
    for name in ("torch_index", "index", "python", "torch", "channel", "variant", "exclude_newer"):
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", public(str(value))]
    for folder in options.find_links:
        words += ["--find-links", public(folder)]
    for name, field in LISTS.items():
        words += [word for value in getattr(options, field) for word in (f"--{name}", value)]
    words += ["--no-project"] if options.no_project else []
    for host in options.allow_hosts:
        words += ["--allow-host", host]
    for number in options.gpus or ():
        words += ["--gpu", str(number)]
    words += ["--single-source"] if single_source else []
    for path in machines:
        words += ["--for", path.as_posix()]
    return " ".join(f"'{word}'" if any(mark in word for mark in " <>=!*;") else word for word in words)


def new_lock(context: Context, *, machine: TargetMachine, profile: Profile, dry_run: bool = False) -> Locked:
    """Decide, and write the lock of what was decided; with ``dry_run`` neither write it nor download for a hash."""
    found = find_lock(context, profile.name, in_scope(context, machine.facts))
    path, before = found.path, found.lock
    shown = context.shown(path)
    kept: Lock | None = None
    if before is None:  # what was asked for on the other platform is asked for here, too
        context = with_lock_options(context, found.foreign, say=True)
    else:
        context = with_lock_options(context, before, say=True)
        why, now = "other options", asked_of(context).recorded
        if before.inputs.requirements != now:  # what was not asked for again stays where it is
            why, kept = f"other requirements ({changed_requirements(before.inputs, now)})", before
        context.reporter.say(f"Lockfile {shown} was made for {why}: making it again")
    model = before or found.foreign
    single_source = model is not None and model.decision.single_source
    how = LockRequest(previous=before, preferred=kept, single_source=single_source, tentative=dry_run)
    decided, lock = decide_and_lock(context, machine=machine, profile=profile, how=how)
    if dry_run:
        return Locked(path=path, shown=shown, lock=lock, decided=decided, written=False)
    written = write_lock(path, lock)
    context.reporter.say(f"Wrote lockfile {shown}: {len(lock.packages)} packages")
    return Locked(path=path, shown=shown, lock=lock, decided=decided, written=written)


def decide_and_lock(
    context: Context, *, machine: TargetMachine, profile: Profile, how: LockRequest, say: bool = True
) -> tuple[Decided, Lock]:
    """Decide, and lock what was decided; see :func:`_decide_and_lock`. Where no set of versions does, the error says
    which bound can be given up: each was tried."""
    try:
        return _fitting(context, machine=machine, profile=profile, how=how, say=say)
    except NoSolutionError as error:
        tried = replace(how, tentative=True, preferred=None)

        def again(other: Context) -> Lock:
            return _fitting(other, machine=machine, profile=profile, how=tried, say=False)[1]

        raise with_ways_out(context, error, profile=profile, machine=machine, again=again) from None


def _fitting(
    context: Context, *, machine: TargetMachine, profile: Profile, how: LockRequest, say: bool
) -> tuple[Decided, Lock]:
    """Lock, and lock again without the releases of packages with code for GPUs that do not go with torch: uv knows
    nothing of CUDA majors and cards, and takes the newest of what a package of the profile needs."""
    first: Unfit | None = None
    while True:
        try:
            decided, lock = _decide_and_lock(context, machine=machine, profile=profile, how=how, say=say)
        except NoSolutionError as error:
            if first is None:
                raise
            raise NoFittingWheelError(first.detail, causes=(error.message, *error.causes), hints=error.hints) from None
        unfit = unfit_in(lock)
        if not unfit:
            return decided, lock
        first = first or unfit[0][1]
        if len(how.excluded) >= MOST_PASSED_OVER:
            raise NoFittingWheelError(first.detail, causes=tuple(each.detail for _, each in unfit))
        for package, each in unfit:
            context.reporter.say(f"{each.detail}: passing {package.name} {package.version} over")
        how = replace(how, excluded=(*how.excluded, *(f"{each.name}!={each.version}" for each, _ in unfit)))


def _decide_and_lock(
    context: Context, *, machine: TargetMachine, profile: Profile, how: LockRequest, say: bool
) -> tuple[Decided, Lock]:
    """Decide, and lock what was decided.

    What torch needs beyond the profile's packages, triton above all, is looked for only now. A nightly whose own is
    missing is passed over for the day before, as one whose torchvision is missing was when it was decided. A companion
    that a package of the profile needs, and that this torch has none of, is decided with torch like one of the profile.
    """
    if not how.tentative:
        require_inside(context.project / FOLDER, context.project, what="the folder of the locks")
        require_writable(context.project / FOLDER, what="the folder of the locks")
    exclude: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    gap: FamilyGapError | None = None
    unaccompanied = LockRequest(previous=how.previous, single_source=how.single_source)

    def alone(family: Decided) -> Lock:
        """Torch's family and what it needs: what a package is built beside."""
        return make_lock(context, replace(family, decision=replace(family.decision, others=())), unaccompanied)

    while True:
        try:
            decided = decide(context, machine=machine, profile=profile, exclude=exclude, pins=needed)
        except NothingFitsError:
            if gap is not None:
                raise gap from None
            raise
        decided = decide_together(context, decided, how, needed)
        if say:
            say_decision(context, decided)
        try:
            decided = with_builds(context, decided, lock_alone=alone, tentative=how.tentative)
            return decided, make_lock(context, decided, how)
        except FamilyGapError as error:
            torch = decided.decision.packages[0]
            if error.name in tables.load().import_checks and error.name not in needed:
                gap, needed = gap or error, (*needed, error.name)
                context.reporter.say(f"{error.message}: choosing torch together with {error.name}")
                continue
            if torch.channel != "nightly" or len(exclude) == MOST_DAYS_BACK:
                raise gap or error from None
            gap = gap or error
            exclude += (f"torch=={torch.version.partition('+')[0]}",)
            context.reporter.say(f"{error.message}: going back to an earlier day")
