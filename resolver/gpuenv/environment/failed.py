"""The environment that a failed proof leaves for a look: beside the target, under a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from gpuenv.environment.guard import write_pip_configuration
from gpuenv.environment.swap import swap_in
from gpuenv.environment.target import Target, check_target, is_ours, remove_tree
from gpuenv.errors import TargetError, VerificationError
from gpuenv.installed.marker import FAILED_NOTE
from gpuenv.model.verification import Report
from gpuenv.report import visible
from gpuenv.system.files import write_atomic

SUFFIX = ".failed"


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
    return target.with_name(target.name + SUFFIX)


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
