"""The build of an environment from a lock: staged beside the target, compared with its wheels, swapped in.

What stands at the target survives every failure and every kill: nothing is written there until one exchange of two
names, and uv is never aimed at an environment that somebody uses (killed while linking and run again it ends well, with
thousands of files missing; research: reliability, finding 1).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv import __version__
from gpuenv.dataclass import dataclass
from gpuenv.environment import target as targets
from gpuenv.environment.arrivals import Arrivals, cache_folder, not_cached, unpacked_since
from gpuenv.environment.clock import Clock
from gpuenv.environment.guard import write_guard
from gpuenv.environment.imports import require_imports
from gpuenv.environment.interpreters import Interpreter
from gpuenv.environment.previous import (
    check_failed_place,
    check_previous_place,
    discard_previous,
    failed_place,
    previous_place,
    remove_failed,
    require_proof,
    settle,
    swap_in_keeping,
)
from gpuenv.environment.run_lock import install_healing
from gpuenv.environment.space import Free, disk_errors, free_on, require_space, warn_of_copies, written
from gpuenv.environment.store import Store
from gpuenv.environment.target import Target, check_target, only_one, remove_tree, same_name, staging, swap_in
from gpuenv.environment.translate import CacheEntryError
from gpuenv.environment.uv import STALL_SECONDS, Uv, failure
from gpuenv.errors import IntegrityError, InterpreterError, OfflineError
from gpuenv.installed.files import read_bare
from gpuenv.installed.marker import MarkedPackage, Marker, lock_digest, write_marker
from gpuenv.installed.places import python_version
from gpuenv.lock.model import Lock
from gpuenv.report import Reporter
from gpuenv.system.process import Ended

if TYPE_CHECKING:
    from gpuenv.environment.as_locked import Filled
    from gpuenv.installed.compare import Compared
    from gpuenv.model.verification import Report

_FIXABLE = frozenset({"missing", "size", "hash", "link", "record", "broken"})
"""Differences that a damaged cache explains: the package is fetched again, once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How to build. Times are seconds."""

    offline: bool = False
    deep: bool = False
    """Hash every installed file (1 GB/s), not only those that look touched."""
    store: Store | None = None
    """Kept wheels to install from, where it holds any of the lock's."""
    extra_env: Mapping[str, str] = field(default_factory=dict)
    """Variables for uv: a certificate, a proxy, credentials."""
    deadline: float = 4 * 3600.0
    stall: float = STALL_SECONDS
    wait: float = 4 * 3600.0
    """How long to wait for another build of the same target."""
    free: Callable[[Path], Free] = free_on
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    exchange: bool = True
    keep_failed: bool = False
    """Keep an environment that did not prove itself, beside the target (see ``environment/failed.py``)."""
    keep_previous: bool = False
    """Keep the environment that is replaced, beside the target (see ``environment/previous.py``)."""
    project: Path | None = None
    """The person's own project, installed editable beside what the lock names."""
    index_env: Mapping[str, str] = field(default_factory=dict)
    """Variables for uv that name the package indexes: what a build of the project needs comes from them."""
    meanwhile: Callable[[], None] = lambda: None
    """Done while uv installs, as often as that is tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A finished environment. ``fetched`` names the packages that were not in the cache; ``seconds`` is by phase, and
    whole when the staging has ended."""

    path: Path
    marker: Marker
    report: Report | None
    replaced: bool
    previous: Path | None
    """Where the replaced environment is kept."""
    fetched: tuple[str, ...]
    compared: Compared
    seconds: Mapping[str, float]


class Staged:
    """An environment beside its target: as locked, marked and imported, and in nobody's way until it is swapped in."""

    def __init__(self, path: Path, job: _Job, filled: Filled, fetched: tuple[str, ...]) -> None:
        self.path = path
        self.built: Built | None = None
        """What was swapped in; ``None`` before."""
        self._job, self._filled, self._fetched = job, filled, fetched

        def finish() -> None:
            self._marker = _finish(job, path, filled)

        require_imports(
            path, job.lock, target=job.target, environ=job.uv.environ, reporter=job.reporter, meanwhile=finish
        )
        job.clock.lap("import")

    def swap_in(self, report: Report | None) -> Built:
        """Put the environment at its target's place, unless ``report`` says that it failed: then FailedProofError."""
        job = self._job
        if report is not None:
            job.clock.lap("verify")
            require_proof(report, self.path, job.target, keep=job.options.keep_failed)
        replaced = check_target(job.target.path).exists
        with job.reporter.task(f"Writing {job.target.path.name} to the disk"):
            previous = self._take_place(used=report is not None)
        job.clock.lap("swap")
        if report is not None and remove_failed(job.target):
            job.reporter.say(f"Removed {failed_place(job.target.path).name}, which an earlier failure had left")
        self.built = Built(
            path=job.target.path,
            marker=self._marker,
            report=report,
            replaced=replaced,
            previous=previous,
            fetched=self._fetched,
            compared=self._filled.tree,
            seconds=job.clock.laps,
        )
        return self.built

    def _take_place(self, *, used: bool) -> Path | None:
        """Exchange the names; returns where the replaced environment is kept. ``used``: it may have written since."""
        job = self._job
        if job.options.keep_previous:
            return swap_in_keeping(self.path, job.target, exchange=job.options.exchange)
        swap_in(self.path, job.target, exchange=job.options.exchange, synced=not used)
        if discard_previous(job.target, self.path.parent):
            job.reporter.say(f"Removed {previous_place(job.target.path).name}, which an earlier build had kept")
        return None


@contextlib.contextmanager
def staged_environment(
    lock_path: Path,
    lock: Lock,
    *,
    target: Path,
    python: Interpreter,
    uv: Uv,
    state: Path,
    reporter: Reporter,
    cache: Path | None = None,
    options: BuildOptions | None = None,
) -> Iterator[Staged]:
    """Build the environment of a lock beside ``target``; it is discarded unless it is swapped in.

    ``state`` holds gpuenv's locks and remembered RECORDs; ``cache`` is uv's cache (``None``: uv's own place).

    Raises TargetError, NoSpaceError, InterpreterError, OfflineError, IndexUnreachableError, IntegrityError or UvError;
    what stood at the target stands there still, whatever is raised here or inside, and nothing of the attempt is left
    behind but an environment that is asked for by ``keep_failed``.
    """
    job = _Job(
        lock_path=lock_path.absolute(), lock=lock, target=check_target(target), python=python, uv=uv, state=state,
        reporter=reporter, cache=cache or cache_folder(uv.environ), options=options or BuildOptions(), clock=Clock(),
        digest=lock_digest(lock_path),
    )  # fmt: skip
    with disk_errors(job.target.path), only_one(job.target, state=state, timeout=job.options.wait, reporter=reporter):
        settle(job.target, reporter)
        check_target(target)
        if job.options.keep_failed:
            check_failed_place(job.target)
        if job.options.keep_previous:
            check_previous_place(job.target)
        with staging(job.target) as stage:
            warn_of_copies(job.cache, stage, target=job.target.path, free=job.options.free, reporter=reporter)
            job.clock.lap("prepare")
            yield Staged(*_filled(job, stage))
    job.clock.lap("clean")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    lock_path: Path
    lock: Lock
    target: Target
    python: Interpreter
    uv: Uv
    state: Path
    reporter: Reporter
    cache: Path | None
    options: BuildOptions
    clock: Clock
    digest: str
    """Of the lock's file before anything is built: another run may write it meanwhile."""

    def meanwhile(self) -> None:
        """Load what is needed once uv has ended (0.03 s), and do what may be done until then."""
        import gpuenv.environment.as_locked  # noqa: F401

        self.options.meanwhile()

    def run(
        self,
        args: list[str],
        stage: Path,
        *,
        arrivals: Arrivals | None = None,
        extra_env: Mapping[str, str] | None = None,
        meanwhile: Callable[[], None] | None = None,
    ) -> Ended:
        environ = {"UV_CONCURRENT_DOWNLOADS": "8", **self.options.extra_env, **(extra_env or {})}
        if self.python.path is None:  # one that uv fetches
            environ["UV_PYTHON_DOWNLOADS"] = "automatic"
        return self.uv.run(
            args,
            cwd=stage,
            deadline=self.options.deadline,
            reporter=self.reporter,
            cache=self.cache,
            extra_env=environ,
            on_stderr=arrivals.hear if arrivals else None,
            on_progress=arrivals.written if arrivals else None,
            stall=self.options.stall,
            meanwhile=meanwhile,
        )


def _filled(job: _Job, stage: Path) -> tuple[Path, _Job, Filled, tuple[str, ...]]:
    """Make and fill an environment; packages that a damaged cache spoiled are fetched again, once."""
    environment, compared, fetched = _attempt(job, stage)
    spoiled = {each.package for each in compared.differences}
    fixable = all(each.kind in _FIXABLE and each.package for each in compared.differences)
    doubted = {each.kind for each in compared.differences} == {"record"}  # what is remembered may be wrong instead
    from gpuenv.environment.records import SHOWN_DIFFERENCES, not_as_locked

    if spoiled and fixable and (doubted or not spoiled & set(fetched)) and not job.options.offline:
        names = sorted(spoiled)
        job.reporter.warn(f"uv's cache holds damaged copies of {', '.join(names)}: fetching them again")
        for each in compared.differences[:SHOWN_DIFFERENCES]:
            job.reporter.detail(str(each))
        _must(job.run(["cache", "clean", *names], stage), "uv cache clean")
        remove_tree(environment)
        environment, compared, again = _attempt(job, stage, fresh=names)
        fetched = tuple(sorted({*fetched, *again}))
    if compared.differences:
        raise not_as_locked(compared.differences, target=job.target.path)
    for note in compared.tree.notes:
        job.reporter.detail(note)
    if job.options.project is not None:
        from gpuenv.environment.own_project import install_project

        found, own = install_project(
            job.options.project, environment, compared.distributions, offline=job.options.offline,
            reporter=job.reporter, run=lambda args: job.run(args, stage, extra_env=job.options.index_env),
        )  # fmt: skip
        compared = replace(compared, distributions=found, project=own)
        job.clock.lap("project")
    return environment, job, compared, fetched


def _attempt(job: _Job, stage: Path, fresh: Collection[str] = ()) -> tuple[Path, Filled, tuple[str, ...]]:
    with job.reporter.task(f"Making an environment of Python {job.python.version}"):
        environment = _bare_environment(job, stage)
        bare = read_bare(environment)
    job.clock.lap("venv")
    with same_name(stage, job.target, state=job.state) as name:
        fetched = install_healing(
            job.lock, stage, name=job.lock_path.name, store=job.options.store, offline=job.options.offline,
            reporter=job.reporter, install=lambda path, lock: _sync(job, stage, name / environment.name, path, lock),
        )  # fmt: skip
    job.clock.lap("sync")
    from gpuenv.environment.as_locked import compare_with_lock

    with job.reporter.task("Comparing the files with the wheels' RECORD"):
        filled = compare_with_lock(
            environment, job.lock, bare=bare, state=job.state, reporter=job.reporter, fresh=fresh, deep=job.options.deep
        )
    job.clock.lap("compare")
    return environment, filled, fetched


def _bare_environment(job: _Job, stage: Path) -> Path:
    environment = stage / job.target.path.name
    args = ["venv", "--relocatable", "--no-project", "--python", job.python.request]
    if job.python.path is not None:
        args.append("--offline")
    _must(job.run([*args, str(environment)], stage), f"uv venv with Python {job.python.version}")
    seen = python_version(written(environment))
    wanted = job.lock.inputs.target.python
    if seen.split(".")[:2] != wanted.split(".")[:2]:
        raise InterpreterError(
            f"the lock is for Python {wanted}, and {job.python.request} is Python {seen}",
            hints=(f"uv python install {wanted}",),
        )
    return environment


def _sync(job: _Job, stage: Path, environment: Path, path: Path, lock: Lock) -> tuple[str, ...]:
    """Install a lock out of uv's cache, or, where that does not do, from its locations; returns what was fetched.

    uv is tried without the network unless its cache seems to lack a wheel. A wheel of other bytes that it kept from the
    same address is forgotten, once: only a download tells what is there now.
    """
    command = ["pip", "sync", str(path), "--python", str(environment), "--preview-features", "pylock"]
    command += ["--require-hashes", "--only-binary", ":all:", "--no-index"]
    if not lock.packages:
        command.append("--allow-empty-requirements")
    remote = [each for each in lock.packages if each.url is not None]
    missing = not_cached(job.cache, remote) if job.cache else ()
    sizes = {each.name: each.size or 0 for each in lock.packages if not missing or each.name in missing}
    offline = job.options.offline
    try:
        if missing and not offline:
            return _fetch(job, command, stage, environment, sizes)
        count = len(lock.packages)
        with job.reporter.task(f"Installing {count} package{'s' if count != 1 else ''}"):
            _must(job.run([*command, "--offline"], stage, meanwhile=job.meanwhile), "installing the lock")
        return ()
    except OfflineError as error:
        if offline:
            raise OfflineError(
                f"offline, and not in uv's cache: {', '.join(missing) or 'a wheel of the lock'}",
                causes=error.causes,
                hints=("Run once without --offline", "Or keep the wheels of a lock: `gpuenv lock --keep`"),
            ) from None
    except IntegrityError as error:
        # All of them: a power cut hits what was written last, and uv names one.
        damaged = isinstance(error, CacheEntryError)
        stale = [each.name for each in lock.packages if damaged or f"{each.name}=={each.version}" == error.package]
        if offline or (not damaged and not set(stale) - set(missing)):
            raise
        if damaged:
            job.reporter.warn("uv's cache holds damaged entries: fetching the wheels again")
        _must(job.run(["cache", "clean", *stale], stage), "uv cache clean")
    return _fetch(job, command, stage, environment, sizes)


def _fetch(job: _Job, command: list[str], stage: Path, environment: Path, sizes: Mapping[str, int]) -> tuple[str, ...]:
    require_space(sizes.values(), cache=job.cache or stage, target=stage.parent, free=job.options.free)
    title = f"Fetching and unpacking {len(sizes)} wheel{'s' if len(sizes) != 1 else ''}"
    started = time.time()
    with job.reporter.task(title, total=sum(sizes.values()), unit="B") as task:
        arrivals = Arrivals(task, sizes)
        _must(job.run(command, stage, arrivals=arrivals, meanwhile=job.meanwhile), "installing the lock")
        arrivals.finish()
    return unpacked_since(environment, started)


def _must(done: Ended, doing: str) -> None:
    if done.returncode != 0:
        raise failure(done, doing=doing)


def _finish(job: _Job, environment: Path, filled: Filled) -> Marker:
    """Write the drift guard and the marker, and all to the disk: from here on the staged environment is a whole one."""
    pins = [(package.name, package.version) for package in job.lock.family]
    alone = not targets.SYNCS_ALL
    name = job.lock_path.name
    for script in write_guard(environment, final=job.target.path, pins=pins, lock_name=name, durable=alone):
        job.reporter.detail(f"the activation script {script} is of an unknown form: it does not guard the family")
    marker = Marker(
        gpuenv=__version__,
        uv=job.uv.version,
        python=python_version(environment),
        profile=job.lock.inputs.profile,
        lock=job.digest,
        lock_name=job.lock_path.name,
        created=job.options.now().astimezone(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z",
        packages=tuple(
            MarkedPackage(
                name=each.name,
                version=each.version,
                record=each.record,
                family=each.name in dict(pins),
                project=each.name == filled.project,
            )
            for each in filled.distributions
        ),
    )
    write_marker(environment, marker, durable=alone)
    targets.sync_filesystem(environment)
    job.clock.lap("marker")
    return marker
