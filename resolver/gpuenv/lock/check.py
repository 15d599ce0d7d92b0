"""Whether a lock still says what it said when it was made, and every reason why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from gpuenv.dataclass import dataclass
from gpuenv.lock.audit import same_file
from gpuenv.lock.diff import Diff, diff
from gpuenv.lock.fit import LockMismatch
from gpuenv.lock.making import is_known_file
from gpuenv.lock.model import Lock, LockedPackage, LockInputs
from gpuenv.model.wheel import Wheel

ReasonKind = Literal[
    "row-changed", "gone", "hidden", "machine", "profile-changed", "requirements-changed", "knowledge-changed",
    "outdated",
]  # fmt: skip
"""The gravest first."""
LinkState = Literal["answers", "gone", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason for locking again. ``package`` is empty for one that concerns the whole lock."""

    kind: ReasonKind
    sentence: str
    package: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockVerdict:
    """Every reason, gravest first; no reason: the lock holds. ``replacement`` is what a new lock would change."""

    reasons: tuple[Reason, ...]
    replacement: Diff | None = None


_ORDER: tuple[ReasonKind, ...] = get_args(ReasonKind)


def is_broken(reasons: Iterable[Reason]) -> bool:
    """Whether a file is not what was locked: never something to update over."""
    return any(reason.kind == "row-changed" for reason in reasons)


def unlisted(lock: Lock, rows: Iterable[Wheel]) -> tuple[LockedPackage, ...]:
    """Packages of the torch source that its pages no longer name: whether their links still answer is to be asked.

    Old nightlies are hidden from the pages after 60 versions and stay where they were, without any promise.
    """
    listed = _by_name(rows)
    return tuple(
        package
        for package in _from_torch(lock)
        if not any(same_file(row.url, package.location) for row in listed.get(package.name, ()))
    )


def check(
    lock: Lock,
    *,
    rows: Iterable[Wheel] | None,
    links: Mapping[str, LinkState],
    now: LockInputs,
    fresh: Lock | None,
    mismatch: LockMismatch | None,
) -> LockVerdict:
    """Compare a lock with the world as it is.

    ``rows`` are what the torch source lists now (``None``: it was not asked); ``links`` answers by location for what
    :func:`unlisted` names; ``now`` are the inputs a new lock would have; ``fresh`` is the lock that would be made now,
    ``None`` where none can; ``mismatch`` is what :func:`~gpuenv.lock.fit.fits_machine` says.
    """
    reasons: list[Reason] = []
    if rows is not None:
        rows = tuple(rows)
        reasons += _changed_rows(lock, rows)
        reasons += [_vanished(package, links.get(package.location, "unknown")) for package in unlisted(lock, rows)]
    if mismatch is not None:
        reasons.append(Reason(kind="machine", sentence=f"the lock is not for this machine: {mismatch.sentence}"))
    reasons += _inputs(lock.inputs, now)
    replacement = None if fresh is None else diff(lock, fresh)
    if replacement:
        moved = ", ".join(
            f"{change.name} {change.before or 'absent'} -> {change.after or 'absent'}"
            for change in replacement.changes
            if change.family
        )
        others = sum(not change.family for change in replacement.changes)
        more = f"{others} other package{'s' if others != 1 else ''}" if others else ""
        reasons.append(
            Reason(kind="outdated", sentence="a lock made now differs: " + ", ".join(filter(None, (moved, more))))
        )
    ordered = sorted(reasons, key=lambda reason: (_ORDER.index(reason.kind), reason.package))
    return LockVerdict(reasons=tuple(ordered), replacement=replacement)


def _from_torch(lock: Lock) -> tuple[LockedPackage, ...]:
    everything, source = lock.decision.single_source, lock.decision.source
    return tuple(
        package
        for package in lock.packages
        if everything or (package.family and not is_known_file(package, source=source))
    )


def _by_name(rows: Iterable[Wheel]) -> dict[str, list[Wheel]]:
    listed: dict[str, list[Wheel]] = {}
    for row in rows:
        listed.setdefault(row.project, []).append(row)
    return listed


def _changed_rows(lock: Lock, rows: Iterable[Wheel]) -> list[Reason]:
    listed = _by_name(rows)
    reasons: list[Reason] = []
    for package in _from_torch(lock):
        for row in listed.get(package.name, ()):
            if not same_file(row.url, package.location):
                continue
            if row.sha256 is not None and row.sha256 != package.sha256:
                sentence = (
                    f"the index now says sha256 {row.sha256}, locked was {package.sha256} ({package.hash_origin})"
                )
            elif row.size is not None and package.size is not None and row.size != package.size:
                sentence = f"the index now says {row.size} bytes, locked were {package.size}"
            else:
                continue
            text = f"{package.filename} is another file under its old address: {sentence}"
            reasons.append(Reason(kind="row-changed", package=package.name, sentence=text))
            break
    return reasons


def _vanished(package: LockedPackage, state: LinkState) -> Reason:
    name = f"{package.name} {package.version}"
    match state:
        case "gone":
            return Reason(kind="gone", package=package.name, sentence=f"{name} is gone: its link no longer answers")
        case "answers":
            sentence = f"{name} is hidden from the index; its link still answers, without any promise"
        case "unknown":
            sentence = f"{name} is no longer on the index; whether its link still answers is not known"
    return Reason(kind="hidden", package=package.name, sentence=sentence)


def _inputs(locked: LockInputs, now: LockInputs) -> list[Reason]:
    reasons: list[Reason] = []
    if locked.profile_digest != now.profile_digest:
        reasons.append(
            Reason(kind="profile-changed", sentence=f"the profile {now.profile} asks for something else now")
        )
    if locked.requirements != now.requirements:
        sentence = f"the project asks for something else now: {changed_requirements(locked, now.requirements)}"
        reasons.append(Reason(kind="requirements-changed", sentence=sentence))
    if locked.knowledge != now.knowledge:
        reasons.append(
            Reason(
                kind="knowledge-changed",
                sentence=f"made with the tables of {locked.knowledge}, these are {now.knowledge}",
            )
        )
    return reasons


_TOLD = 4


def changed_requirements(locked: LockInputs, now: Iterable[str]) -> str:
    """How the requirements of a project moved: ``+ einops>=0.8, - timm``, with the number of those left unsaid."""
    before, after = set(locked.requirements), set(now)
    moved = [f"+ {each}" for each in sorted(after - before)] + [f"- {each}" for each in sorted(before - after)]
    more = [f"and {len(moved) - _TOLD} more"] if len(moved) > _TOLD else []
    return ", ".join([*moved[:_TOLD], *more])
