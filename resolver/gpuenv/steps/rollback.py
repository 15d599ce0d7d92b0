"""The environment before the last build, put back while it is kept."""

from __future__ import annotations

from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.previous import kept_previous, previous_place, roll_back, settle
from gpuenv.environment.space import disk_errors
from gpuenv.environment.target import Target, check_target, only_one
from gpuenv.errors import TargetError
from gpuenv.installed.environment import read_environment
from gpuenv.installed.marker import Marker, lock_digest, read_marker
from gpuenv.shell import quote
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.environment import refuse_added, refuse_target, target_of
from gpuenv.steps.lock_file import FOLDER
from gpuenv.steps.profile import load_profile
from gpuenv.system.files import require_writable

WAIT_SECONDS = 4 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledBack(Outcome):
    """What stands at the target now, and what stood there, which is the kept one now (``None``: nothing stood)."""

    environment: Path
    now: Marker
    before: Marker | None
    kept: str | None
    """Where ``before`` is kept, relative to the project where it is inside."""
    other_lock: str | None
    """The lock of ``now``, where another one stands under its name: the next build is of that."""
    dry_run: bool = False


def roll_back_environment(context: Context, *, target: Path | None, discard_added: bool, dry_run: bool) -> RolledBack:
    """Put the kept environment back. With ``dry_run`` say what would be, and write nothing."""
    path = target_of(context, target, load_profile(context))
    refuse_target(context, path)
    if dry_run:
        return _look(context, check_target(path), discard_added=discard_added, dry_run=True)
    require_writable(context.state, what="gpuenv's own folder")
    place = check_target(path)
    with disk_errors(place.path), only_one(place, state=context.state, timeout=WAIT_SECONDS, reporter=context.reporter):
        settle(place, context.reporter)
        place = check_target(path)
        outcome = _look(context, place, discard_added=discard_added, dry_run=False)
        roll_back(place)
    return outcome


def _look(context: Context, target: Target, *, discard_added: bool, dry_run: bool) -> RolledBack:
    """What rolling back does; raises :class:`~gpuenv.errors.TargetError` where it cannot, or packages would go."""
    place, shown = kept_previous(target.path), context.shown(target.path)
    now = None if place is None else read_marker(place)
    if place is None or now is None:
        raise TargetError(
            f"no environment before {shown} is kept; it was left as it is",
            causes=(f"there is no {context.shown(previous_place(target.path))} that gpuenv kept",),
            hints=(f"Keep what the next build replaces: `gpuenv create --keep-previous {quote(shown)}`",),
        )
    before = read_marker(target.path) if target.exists else None
    if before is not None and not discard_added:
        names = [each.name for each in read_environment(place).distributions]
        command = f"gpuenv create --rollback --discard-added {quote(shown)}"
        hints = (f"Do it all the same: `{command}`",)
        refuse_added(target.path, names=names, doing=f"rolling back {shown}", hints=hints)
    return RolledBack(
        environment=target.path,
        now=now,
        before=before,
        kept=context.shown(place) if before is not None else None,
        other_lock=None if _stands(context, now) else now.lock_name,
        dry_run=dry_run,
    )


def _stands(context: Context, marker: Marker) -> bool:
    """Whether the lock that an environment was built from is the one that stands in the project."""
    try:
        return lock_digest(context.project / FOLDER / Path(marker.lock_name).name) == marker.lock
    except OSError:
        return False
