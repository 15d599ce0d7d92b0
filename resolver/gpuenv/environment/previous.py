"""The environments that are kept beside a target, one at most of each: the one that was replaced, and one that failed.

A note in a folder says that it is to be kept. It is written before the names change, so that a kill between the steps
loses nothing: :func:`settle` puts what has the note where it belongs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gpuenv.environment.guard import write_pip_configuration
from gpuenv.environment.target import (
    ASIDE_PREFIX,
    Target,
    check_target,
    dead_stages,
    is_ours,
    remove_tree,
    staging,
    swap_in,
    sweep,
)
from gpuenv.errors import TargetError, VerificationError
from gpuenv.installed.marker import FAILED_NOTE, PREVIOUS_NOTE
from gpuenv.model.verification import Report
from gpuenv.report import Reporter, visible
from gpuenv.shell import quote
from gpuenv.system.files import sync_folder, write_atomic

PREVIOUS, FAILED = ".previous", ".failed"
"""What the names of the two end with."""
_OLDER = "older"


def previous_place(target: Path) -> Path:
    """Where the environment that was replaced at ``target`` is kept.

    >>> previous_place(Path("project/.venv-gpu")).name
    '.venv-gpu.previous'
    """
    return target.with_name(target.name + PREVIOUS)


def kept_previous(target: Path) -> Path | None:
    """The environment that is kept of an earlier build of ``target``; ``None`` where there is none."""
    place = previous_place(target)
    return place if not place.is_symlink() and is_noted(place) else None


def check_previous_place(target: Target) -> None:
    """Raise :class:`~gpuenv.errors.TargetError` where something stands that is no environment kept by gpuenv."""
    place = previous_place(target.path)
    if check_target(place).exists and any(place.iterdir()) and kept_previous(target.path) is None:
        raise TargetError(
            f"{place} is no environment that was kept; it was left as it is",
            hints=(f"Move it away: `mv {quote(str(place))} {quote(f'{place}.old')}`", "Or leave out --keep-previous"),
        )


def swap_in_keeping(built: Path, target: Target, *, exchange: bool = True) -> Path | None:
    """Put ``built`` at the target's place and what stood there at its own, where it takes that of an older one.

    ``built`` lies in a folder of ours that is removed afterwards. Returns where the replaced one stands; ``None`` where
    nothing was replaced. Raises what :func:`~gpuenv.environment.target.swap_in` raises.
    """
    if not is_ours(target.path):
        swap_in(built, target, exchange=exchange)
        return None
    check_previous_place(target)
    _note(target.path)
    swap_in(built, target, exchange=exchange)
    return _keep(built, target)


def discard_previous(target: Target, stage: Path) -> bool:
    """Take the kept environment away into ``stage``, which is removed later; says whether there was one."""
    place = kept_previous(target.path)
    if place is None:
        return False
    place.rename(stage / _OLDER)
    sync_folder(place.parent)
    return True


def roll_back(target: Target, *, exchange: bool = True) -> bool:
    """Exchange target and kept environment: at every moment a complete one stands at the target, where one stood.

    Returns whether an environment stood at the target, which is the kept one now. Call it after :func:`settle`.
    """
    place = previous_place(target.path)
    stood = is_ours(target.path)
    if stood:
        _note(target.path)
    swap_in(place, target, exchange=exchange)
    _remove_note(target.path)
    if not stood and os.path.lexists(place):
        place.rmdir()  # an empty folder stood there
    return stood


def settle(target: Target, reporter: Reporter) -> None:
    """Finish what killed builds and roll-backs of this target left half-done, and remove the rest they left.

    Call it under :func:`~gpuenv.environment.target.only_one`.
    """
    parent = target.path.parent
    for stage in dead_stages(parent, target.key):
        if is_noted(stage / target.path.name):
            _finish(stage / target.path.name, target, reporter)
    if os.path.lexists(target.path):
        for aside in sorted(parent.glob(f"{ASIDE_PREFIX}{target.key}*")):
            if is_noted(aside):
                with staging(target) as stage:
                    aside.rename(stage / target.path.name)
                    _finish(stage / target.path.name, target, reporter)
    sweep(target, reporter)
    if is_ours(target.path):
        _remove_note(target.path)


def _finish(folder: Path, target: Target, reporter: Reporter) -> None:
    try:
        check_previous_place(target)
    except TargetError as error:  # somebody put something of theirs there meanwhile
        reporter.warn(f"an interrupted run had replaced {target.path}, and the one before is not kept: {error.message}")
        return
    place = _keep(folder, target)
    reporter.warn(f"an interrupted run had replaced {target.path}: the one before is kept at {place}")


def _keep(folder: Path, target: Target) -> Path:
    """Move an environment with a note to its place; an older one there ends beside ``folder``, under a name that
    :func:`settle` does not look for."""
    place = previous_place(target.path)
    if os.path.lexists(place):
        place.rename(folder.with_name(_OLDER))
    folder.rename(place)
    sync_folder(place.parent)
    return place


def is_noted(folder: Path) -> bool:
    """Whether a folder is an environment that is to be kept."""
    return (folder / PREVIOUS_NOTE).is_file() and is_ours(folder)


def _note(folder: Path) -> None:
    words = "This environment was replaced; `gpuenv create --rollback` puts it back, the next build removes it.\n"
    write_atomic(folder / PREVIOUS_NOTE, words, what="the note of what was replaced")


def _remove_note(folder: Path) -> None:
    (folder / PREVIOUS_NOTE).unlink(missing_ok=True)


class FailedProofError(VerificationError):
    """``report`` says what failed, ``kept`` where the environment stands for a look; ``None``: it was discarded."""

    def __init__(self, message: str, *, report: Report, kept: Path | None, causes: Sequence[str]) -> None:
        super().__init__(message, causes=causes)
        self.report, self.kept = report, kept


def failed_place(target: Path) -> Path:
    """Where a failed environment of ``target`` is kept.

    >>> failed_place(Path("project/.venv-gpu")).name
    '.venv-gpu.failed'
    """
    return target.with_name(target.name + FAILED)


def check_failed_place(target: Target) -> None:
    """Raise :class:`~gpuenv.errors.TargetError` where something stands that is not a kept environment of ours."""
    place = failed_place(target.path)
    if check_target(place).exists and any(place.iterdir()) and not _is_kept(place):
        raise TargetError(
            f"{place} is no environment that failed; it was left as it is",
            hints=(f"Move it away: `mv {quote(str(place))} {quote(f'{place}.old')}`", "Or leave out --keep-failed"),
        )


def require_proof(report: Report, environment: Path, target: Target, *, keep: bool) -> None:
    """Raise :class:`FailedProofError` where a staged environment did not prove itself; ``keep``: it is moved away."""
    if report.verdict != "failed":
        return
    failed = [check for check in report.checks if check.status == "failed"]
    causes = [f"{check.title}: {check.cause or check.seen}" for check in failed]
    kept = keep_failed(environment, target, why=causes) if keep else None
    fate = f"is kept at {kept} for a look" if kept is not None else "was discarded"
    old = f"; {target.path} was left as it was" if target.exists else ""
    raise FailedProofError(
        f"the new environment did not prove itself and {fate}{old}", report=report, kept=kept, causes=causes
    )


def keep_failed(environment: Path, target: Target, *, why: Sequence[str]) -> Path:
    """Move a staged environment to its place for a look, replacing an earlier one there, and return the place."""
    place = failed_place(target.path)
    check_failed_place(target)
    words = "This environment did not prove itself; the next one that does removes it.\n"
    note = words + "".join(f"{visible(line)}\n" for line in why)
    write_atomic(environment / FAILED_NOTE, note, what="the note of what failed")
    write_pip_configuration(environment, final=place)
    swap_in(environment, check_target(place))
    return place


def remove_failed(target: Target) -> bool:
    """Remove what an earlier failure left, once an environment has proved itself; says whether there was something."""
    place = failed_place(target.path)
    if not _is_kept(place):
        return False
    remove_tree(place)
    return True


def kept_failed(target: Path) -> Path | None:
    """The failed environment that is kept beside ``target``; ``None`` where there is none."""
    place = failed_place(target)
    return place if _is_kept(place) else None


def _is_kept(place: Path) -> bool:
    return not place.is_symlink() and is_ours(place) and (place / FAILED_NOTE).is_file()
