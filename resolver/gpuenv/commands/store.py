"""The store of kept wheels: list, verify, prune, export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gpuenv.environment.store import Damage, StoredWheel
from gpuenv.errors import UsageError
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.downloads import open_store
from gpuenv.steps.lock import FOLDER, lock_path, read_lock


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome(Outcome):
    """What stands in the store, what was found damaged, removed, or exported (a folder relative to the project)."""

    action: str
    folder: str
    wheels: tuple[StoredWheel, ...] = ()
    damaged: tuple[Damage, ...] = ()
    removed: tuple[StoredWheel, ...] = ()
    exported: str = ""
    dry_run: bool = False


def run(context: Context, *, action: str, target: Path | None, dry_run: bool) -> StoreOutcome:
    """Do one thing with the store. ``prune`` removes what no lock of the project names."""
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
            removed = store.prune(_locked_hashes(context), dry_run=dry_run)
            return StoreOutcome(action=action, folder=folder, wheels=store.list(), removed=removed, dry_run=dry_run)
        case "export":
            return _export(context, target)
        case _:
            return StoreOutcome(action=action, folder=folder, wheels=store.list())


def _export(context: Context, target: Path | None) -> StoreOutcome:
    name = context.options.profile
    if target is None or name is None:
        raise UsageError(
            "`store export` takes a profile and a folder",
            hints=("Run `gpuenv store export FOLDER --profile blackwell`",),
        )
    path = lock_path(context, name)
    lock = read_lock(path, shown=path.name)
    if lock is None:
        raise UsageError(f"profile {name} has no lock", hints=(f"Make it: `gpuenv lock --profile {name} --keep`",))
    store = open_store(context)
    folder = context.project / target
    store.export(lock, folder, name=name)
    return StoreOutcome(action="export", folder=str(store.folder), exported=target.as_posix())


def _locked_hashes(context: Context) -> frozenset[str]:
    hashes: set[str] = set()
    for path in sorted((context.project / FOLDER).glob("pylock.*.toml")):
        lock = read_lock(path, shown=path.name)
        hashes.update(package.sha256 for package in lock.packages) if lock is not None else None
    return frozenset(hashes)


def _damage(row: Damage) -> Failure:
    return Failure(
        code="integrity",
        message=f"{row.wheel.filename} in the store is damaged",
        causes=(f"expected sha256 {row.wheel.sha256}", f"found {row.found}"),
        hints=("Remove the file and run `gpuenv lock --keep` to fetch it again",),
    )
