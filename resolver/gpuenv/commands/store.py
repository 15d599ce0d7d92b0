"""The store of kept wheels: list, verify, prune, export."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.environment.own_wheels import own_wheels
from gpuenv.environment.roots import Root
from gpuenv.environment.store import Damage, Store, StoredWheel
from gpuenv.errors import UsageError
from gpuenv.shell import quote
from gpuenv.steps.carrying import carry_along
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.downloads import open_store
from gpuenv.steps.inventory import shelf
from gpuenv.steps.lock import read_sound
from gpuenv.steps.lock_file import lock_path


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome(Outcome):
    """What stands in the store, what was found damaged, removed, or exported (a folder relative to the project)."""

    action: str
    folder: str
    wheels: tuple[StoredWheel, ...] = ()
    damaged: tuple[Damage, ...] = ()
    removed: tuple[StoredWheel, ...] = ()
    unsure: tuple[Root, ...] = ()
    """Registered locks that are not found again, for which wheels are kept or would be given up."""
    exported: str = ""
    dry_run: bool = False


def run(context: Context, *, action: str, target: Path | None, dry_run: bool, forget: bool) -> StoreOutcome:
    """Do one thing with the store. ``prune`` removes what no lock of the project and no registered one names;
    ``forget`` gives up registered locks that are not found again."""
    store = open_store(context)
    folder = str(store.folder)
    match action:
        case "verify":
            damaged = store.verify()
            problems = tuple(_damage(row) for row in damaged)
            return StoreOutcome(
                action=action,
                folder=folder,
                wheels=store.list(),
                damaged=damaged,
                problems=problems,
                exit_code=5 if damaged else 0,
            )
        case "prune":
            return _prune(context, store, dry_run=dry_run, forget=forget)
        case "export":
            return _export(context, target)
        case _:
            return StoreOutcome(action=action, folder=folder, wheels=store.list())


def _prune(context: Context, store: Store, *, dry_run: bool, forget: bool) -> StoreOutcome:
    store.sweep()
    found = shelf(context)
    unsure = found.unsure
    if unsure and not forget and not dry_run:
        raise _cannot_know(context, unsure)
    removed = store.prune(found.keep(forget=forget), dry_run=dry_run)
    if forget and not dry_run:
        for root in found.roots:
            if root.state != "there":
                root.forget()
    return StoreOutcome(
        action="prune", folder=str(store.folder), wheels=store.list(), removed=removed, unsure=unsure, dry_run=dry_run
    )


def _cannot_know(context: Context, unsure: Sequence[Root]) -> UsageError:
    words = "gpuenv store prune --forget" + (f" --store {quote(str(context.store))}" if context.store else "")
    return UsageError(
        "nothing was removed: wheels are kept for registered locks that are not found again as they were",
        causes=[root.words for root in unsure],
        hints=(f"Give up what only those need: `{words}`", f"See first what that removes: `{words} --dry-run`"),
    )


def _export(context: Context, target: Path | None) -> StoreOutcome:
    name = context.options.profile
    if target is None or name is None:
        raise UsageError(
            "`store export` takes a profile and a folder",
            hints=("Run `gpuenv store export FOLDER --profile blackwell`",),
        )
    path = lock_path(context, name)
    lock = read_sound(context, path, profile=name)
    if lock is None:
        raise UsageError(f"profile {name} has no lock", hints=(f"Make it: `gpuenv lock --profile {name} --keep`",))
    store = open_store(context)
    folder = context.project / target
    store.export(lock, folder, name=name)
    carry_along(context, folder, path, name=name)
    _pack_gpuenv(context, folder)
    return StoreOutcome(action="export", folder=str(store.folder), exported=target.as_posix())


def _pack_gpuenv(context: Context, folder: Path) -> None:
    """gpuenv itself, with uv, for a machine that has neither."""
    try:
        with context.reporter.task("Packing gpuenv and uv"):
            own_wheels(folder / "tool")
    except (OSError, PackageNotFoundError) as error:
        context.reporter.warn(f"gpuenv itself is not in the export: {error}")


def _damage(row: Damage) -> Failure:
    return Failure(
        code="integrity",
        message=f"{row.wheel.filename} in the store is damaged",
        causes=(f"expected sha256 {row.wheel.sha256}", f"found {row.found}"),
        hints=("Remove the file and run `gpuenv lock --keep` to fetch it again",),
    )
