"""Remove environments that gpuenv built, and nothing else: what would go is looked at first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.previous import kept_failed, kept_previous, settle
from gpuenv.environment.target import Target, check_target, is_ours, only_one, staging
from gpuenv.errors import UsageError
from gpuenv.installed.marker import MARKER, Marker
from gpuenv.shell import quote
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.environment import refuse_added
from gpuenv.steps.environments import KnownEnvironment, forget, look, size_of
from gpuenv.system.files import sync_folder

WAIT = 600.0
"""Seconds to wait for a build of the same place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """An environment that goes, and what gpuenv kept of it beside it."""

    environment: KnownEnvironment
    beside: tuple[Path, ...]
    bytes: int

    @property
    def marker(self) -> Marker:
        """What it was built from."""
        return self.environment.marker


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveOutcome(Outcome):
    """What was removed, or with ``dry_run`` would be."""

    removals: tuple[Removal, ...]
    dry_run: bool


def look_at(context: Context, folders: Sequence[Path], *, discard_added: bool) -> RemoveOutcome:
    """Say what removing these environments takes away. Changes nothing.

    Raises :class:`~gpuenv.errors.TargetError` for what gpuenv did not build, and for packages that were added.
    """
    removals = tuple(_look(context, context.project / folder, discard_added=discard_added) for folder in folders)
    return RemoveOutcome(removals=removals, dry_run=True)


def run(context: Context, planned: RemoveOutcome) -> RemoveOutcome:
    """Remove what was looked at. A kill leaves each environment whole or gone; the next build sweeps the rest."""
    for removal in planned.removals:
        target = check_target(removal.environment.path)
        with only_one(target, state=context.state, timeout=WAIT, reporter=context.reporter):
            settle(target, context.reporter)
            with context.reporter.task(f"Removing {target.path.name}"), staging(target) as stage:
                for path in (target.path, *removal.beside):
                    if is_ours(path):
                        path.rename(stage / path.name)
                sync_folder(target.path.parent)
        forget(context, target.path)
    return RemoveOutcome(removals=planned.removals, dry_run=False)


def _look(context: Context, folder: Path, *, discard_added: bool) -> Removal:
    shown, real = context.shown(folder), Path(os.path.realpath(folder))
    if not os.path.lexists(folder):
        raise UsageError(f"there is no environment at {shown}", hints=("See which there are: `gpuenv list`",))
    if folder.is_symlink() or not is_ours(folder) or context.project.is_relative_to(real):
        why = f"{shown} is a link" if folder.is_symlink() else f"it holds no readable {MARKER}"
        raise UsageError(
            f"{shown} is no environment that gpuenv built; it was left as it is",
            causes=("the project is in it" if context.project.is_relative_to(real) else why,),
            hints=("See which there are: `gpuenv list`",),
        )
    target = check_target(folder)
    found = look(target.path, context.project)
    if not discard_added:
        hints = (f"Give them up: `gpuenv remove --env {quote(shown)} --discard-added`",)
        refuse_added(target.path, names=(), doing=f"removing {shown}", hints=hints)
    beside = _beside(target)
    return Removal(environment=found, beside=beside, bytes=found.bytes + sum(map(size_of, beside)))


def _beside(target: Target) -> tuple[Path, ...]:
    return tuple(each for each in (kept_previous(target.path), kept_failed(target.path)) if each is not None)
