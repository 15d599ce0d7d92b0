"""What gpuenv keeps: where, how much, and gone on demand, but for what a lock or a running gpuenv needs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.previous import PREVIOUS, is_noted
from gpuenv.environment.roots import Root
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.inventory import PARTS, Kept, Leftover, Part, kept, leftovers, remove, shelf

CLEANED: tuple[Part, ...] = ("pages", "facts", "store", "leftovers")
"""What `clean` removes where nothing is named: all that can be had again. Remembered RECORDs vouch for uv's cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """What was removed of one part, in files and bytes."""

    part: Part
    files: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheOutcome(Outcome):
    """What is kept, what was left by earlier runs, and what was removed."""

    action: str
    kept: tuple[Kept, ...]
    leftovers: tuple[Leftover, ...] = ()
    environments: tuple[Path, ...] = ()
    """Environments of the project that are kept beside another one."""
    cleaned: tuple[Cleaned, ...] = ()
    unsure: tuple[Root, ...] = ()
    """Registered locks that are not found again as they were: what they named stays."""
    dry_run: bool = False


def run(context: Context, *, action: str, parts: Collection[Part], dry_run: bool) -> CacheOutcome:
    """Say where things are and how much they take, or remove ``parts`` (empty: :data:`CLEANED`)."""
    found = kept(context)
    if action == "dir":
        return CacheOutcome(action=action, kept=found)
    if action == "clean":
        wanted = [part for part in PARTS if part in (parts or CLEANED)]
        return _clean(context, found, wanted, dry_run=dry_run)
    left = tuple(leftovers(context))
    beside = tuple(path for path in sorted(context.project.glob(f"*{PREVIOUS}")) if is_noted(path))
    return CacheOutcome(action=action, kept=found, leftovers=left, environments=beside)


def _clean(context: Context, found: tuple[Kept, ...], wanted: Collection[Part], *, dry_run: bool) -> CacheOutcome:
    cleaned: list[Cleaned] = []
    held = shelf(context) if "store" in wanted else None  # an unreadable lock stops here, before anything is gone
    for each in found:
        if each.part not in wanted:
            continue
        if held is not None and each.part == "store":
            gone = held.store.prune(held.keep(forget=False), dry_run=dry_run)
            cleaned.append(Cleaned(part="store", files=len(gone), bytes=sum(wheel.size for wheel in gone)))
            continue
        for path in each.files if not dry_run else ():
            path.unlink(missing_ok=True)
        cleaned.append(Cleaned(part=each.part, files=len(each.files), bytes=each.bytes))
    swept = []
    if "leftovers" in wanted:
        for left in leftovers(context):
            if not dry_run:
                remove(left)
            swept.append(left)
        cleaned.append(Cleaned(part="leftovers", files=len(swept), bytes=sum(left.bytes for left in swept)))
    return CacheOutcome(
        action="clean",
        kept=found if dry_run else kept(context),
        leftovers=tuple(swept),
        cleaned=tuple(cleaned),
        unsure=() if held is None else held.unsure,
        dry_run=dry_run,
    )
