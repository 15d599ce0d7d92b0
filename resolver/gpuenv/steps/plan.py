"""What `create` would do, found out without writing anything that outlives the run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.arrivals import cache_folder, not_cached
from gpuenv.environment.interpreters import interpreter_for
from gpuenv.environment.previous import check_previous_place, kept_previous, previous_place
from gpuenv.environment.target import check_target
from gpuenv.errors import GpuenvError
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.marker import Marker, read_marker
from gpuenv.lock.model import Lock, LockedPackage
from gpuenv.model.profile import Profile
from gpuenv.steps.context import Context, Failure, Outcome, Run
from gpuenv.steps.downloads import open_store
from gpuenv.steps.environment import added_to, refuse_another_profile, refuse_to_discard
from gpuenv.steps.hashed_lock import standing_lock
from gpuenv.steps.lock import Locked, say_newer
from gpuenv.steps.machine import TargetMachine
from gpuenv.steps.new_lock import new_lock
from gpuenv.steps.pythons import interpreters_of
from gpuenv.steps.reuse import Standing, examine
from gpuenv.system.files import scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned(Outcome):
    """What would be used, fetched, replaced and lost. ``problems`` are what `create` would stop at."""

    profile: Profile
    environment: Path
    locked: Locked
    python: str
    """The interpreter's path, or what uv would fetch."""
    fetched: tuple[LockedPackage, ...]
    """Neither in uv's cache nor in the store. uv decides: the layout of its cache is its own business."""
    replaced: Marker | None
    """What stands at the target and would go."""
    lost: tuple[Distribution, ...]
    """Packages that were added to it since it was built."""
    previous: Path | None
    """Where the replaced environment would be kept."""
    removed: Path | None
    """The kept environment of an earlier build, which would go."""
    evidence: str | None
    """Where the evidence would be written; ``None`` without a proof."""
    standing: bool
    """What stands at the target is what the lock says: nothing would be built."""


@contextmanager
def untouched(context: Context) -> Iterator[Context]:
    """The context with everything that a decision writes to in a folder that goes with the run.

    Pages and facts that are kept are copied there; uv's own pages only where the network must not be used, and nothing
    else has them.
    """
    with scratch("dry-run") as folder, Run() as run:
        for name in ("http", "wheels"):
            with suppress(FileNotFoundError, shutil.Error):  # a file that another run replaces meanwhile
                shutil.copytree(context.cache / name, folder / "cache" / name)
        uv_cache = folder / "uv"
        kept = cache_folder(context.environ) if context.offline else None
        if kept is not None:
            _copy_pages(kept, uv_cache)
        yield replace(
            context,
            cache=folder / "cache",
            state=folder / "state",
            store=open_store(context).folder,
            environ={**context.environ, "UV_CACHE_DIR": str(uv_cache)},
            run=run,
        )


def _copy_pages(cache: Path, target: Path) -> None:
    """Copy pages and metadata of uv's cache, not the wheels."""
    for pattern in ("simple-v*/**/*", "wheels-v*/**/*.msgpack"):
        for path in cache.glob(pattern):
            with suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    place = target / path.relative_to(cache)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, place)


def plan(
    context: Context,
    *,
    profile: Profile,
    machine: TargetMachine,
    target: Path,
    evidence: Path | None,
    replace_other: bool,
    discard_added: bool,
    keep_previous: bool,
    rebuild: bool,
    named: Path | None = None,
) -> Planned:
    """Decide as `create` does, and look at what stands at the target. Reads only.

    Raises what a decision raises. What `create` would stop at later is a problem of the outcome.
    """
    there = check_target(target)
    with untouched(context) as copy:
        locked = standing_lock(copy, machine=machine, profile=profile, named=named, dry_run=True)
        locked = locked or new_lock(copy, machine=machine, profile=profile, dry_run=True)
        say_newer(copy, locked, machine=machine, profile=profile)
        wanted = locked.lock.inputs.target.python
        found = interpreter_for(wanted, interpreters_of(copy, downloads=False))
        decided = locked.decided is not None
        standing = not (rebuild or decided) and isinstance(examine(copy, locked, target=target), Standing)
    marker = read_marker(there.path) if there.exists else None
    names = [each.name for each in locked.lock.packages]
    lost = added_to(there.path, names=names) if marker is not None else ()
    previous = kept_previous(there.path)
    stops = (
        lambda: refuse_another_profile(context, target, profile, replace=replace_other),
        lambda: refuse_to_discard(context, target, profile, locked.lock, discard=discard_added),
        lambda: check_previous_place(there) if keep_previous else None,
    )
    problems = tuple(each for stop in stops if (each := _stopped(stop)) is not None)
    return Planned(
        exit_code=2 if problems else 0,
        problems=problems,
        profile=profile,
        environment=there.path,
        locked=locked,
        python=f"Python {wanted}, fetched by uv" if found is None else f"Python {found.version} ({found.path})",
        fetched=_missing(context, locked.lock),
        replaced=marker,
        lost=lost,
        previous=previous_place(there.path) if keep_previous and marker else None,
        removed=previous,
        evidence=None if evidence is None else context.shown(evidence),
        standing=standing,
    )


def _stopped(stop: Callable[[], None]) -> Failure | None:
    try:
        stop()
    except GpuenvError as error:
        return Failure.of(error)
    return None


def _missing(context: Context, lock: Lock) -> tuple[LockedPackage, ...]:
    cache, store = cache_folder(context.environ), open_store(context)
    names = set(lock.by_name) if cache is None else set(not_cached(cache, lock.packages))
    return tuple(
        each for each in lock.packages if each.name in names and each.url is not None and not store.has(each.sha256)
    )
