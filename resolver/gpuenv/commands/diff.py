"""What differs between two locks, or between a lock and an environment."""

from __future__ import annotations

from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError
from gpuenv.installed.drift import PackageChange as Drift
from gpuenv.installed.drift import drift
from gpuenv.installed.environment import read_environment
from gpuenv.installed.marker import read_marker
from gpuenv.lock.diff import Diff, diff
from gpuenv.lock.model import Lock
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.lock_file import FOLDER, built_from, read_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffOutcome(Outcome):
    """``locks`` for two locks, ``drifted`` for a lock and an environment; the other is ``None``."""

    before: str
    after: str
    locks: Diff | None
    drifted: tuple[Drift, ...] | None


def run(context: Context, *, before: str, after: str) -> DiffOutcome:
    """Compare. ``lock`` as a name means the environment's, else that of the profile in use; exit 1 for a difference."""
    first, second = _thing(context, before, beside=after), _thing(context, after, beside=before)
    if isinstance(first, Lock) and isinstance(second, Lock):
        found = diff(first, second)
        return DiffOutcome(before=before, after=after, locks=found, drifted=None, exit_code=1 if found else 0)
    lock, environment = (first, second) if isinstance(first, Lock) else (second, first)
    if not isinstance(lock, Lock) or isinstance(environment, Lock):
        raise UsageError(
            f"{before} and {after} are both environments: one of them must be a lock",
            hints=("Run `gpuenv diff lock .venv-gpu`",),
        )
    changes = drift(
        read_environment(environment),
        expected={package.name: package.version for package in lock.packages},
        family=[package.name for package in lock.family],
    )
    return DiffOutcome(before=before, after=after, locks=None, drifted=changes, exit_code=1 if changes else 0)


def _thing(context: Context, name: str, *, beside: str) -> Lock | Path:
    path = context.project / name
    if name == "lock":
        marker = read_marker(context.project / beside)
        profile = context.options.profile or (marker.profile if marker is not None else _only_profile(context))
        path = built_from(context, profile, marker)
    elif path.is_dir():
        return path
    lock = read_lock(path, shown=context.shown(path))
    if lock is None:
        raise UsageError(
            f"there is neither a lock nor an environment at {name}",
            hints=("Name a pylock.*.toml file, `lock`, or the folder of an environment",),
        )
    return lock


def _only_profile(context: Context) -> str:
    """The profile of the lock in the project, where there is only one; else ``auto``."""
    found = sorted((context.project / FOLDER).glob("pylock.*.toml"))
    return found[0].name.split(".")[1] if len(found) == 1 else "auto"
