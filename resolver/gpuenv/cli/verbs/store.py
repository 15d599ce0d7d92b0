"""The kept wheels: list, verify, prune what no lock names, export for a machine without network."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.store import StoreOutcome
    from gpuenv.environment.store import StoredWheel

EXAMPLES = (
    ("gpuenv store", "the kept wheels and what they take"),
    ("gpuenv store prune --dry-run", "what no lock names any more"),
    ("gpuenv store export /media/disk/wheels", "for a machine without network"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", choices=("list", "verify", "prune", "export"), nargs="?", default="list", help="default: list"
    )
    parser.add_argument("target", metavar="FOLDER", type=Path, nargs="?", help="where `export` writes")
    parser.add_argument("--dry-run", action="store_true", help="say what `prune` would remove")
    parser.add_argument(
        "--forget", action="store_true", help="with `prune`: give up registered locks that are not found again"
    )


def run(arguments: argparse.Namespace, context: Context) -> StoreOutcome:
    from gpuenv.commands import store

    return store.run(
        context, action=arguments.action, target=arguments.target, dry_run=arguments.dry_run, forget=arguments.forget
    )


def data(outcome: StoreOutcome) -> dict[str, object]:
    return {
        **parts(outcome, "action", "folder", "dry_run"),
        "wheels": _rows(outcome.wheels),
        "damaged": [{"filename": row.wheel.filename, "found": row.found} for row in outcome.damaged],
        "removed": _rows(outcome.removed),
        "unsure": [{"lock": root.lock or None, "state": root.state} for root in outcome.unsure],
        "exported": outcome.exported or None,
    }


def text(outcome: StoreOutcome) -> Iterator[str]:
    match outcome.action:
        case "prune":
            verb = "Would remove" if outcome.dry_run else "Removed"
            yield f"{verb} {len(outcome.removed)} wheels that no lock names, kept {len(outcome.wheels)}"
            for row in outcome.removed:
                yield f" - {row.filename}"
            for root in outcome.unsure:
                yield f"   registered: {root.words}"
        case "export":
            yield f"Exported to {outcome.exported}"
        case _:
            for row in outcome.wheels:
                yield f"{row.sha256[:12]}  {row.size / 1e6:10.1f} MB  {row.filename}"
            total = sum(row.size for row in outcome.wheels)
            good = ", all as their names say" if outcome.action == "verify" and not outcome.damaged else ""
            yield f"{len(outcome.wheels)} wheels, {total / 1e6:.1f} MB in {outcome.folder}{good}"


def _rows(wheels: Iterable[StoredWheel]) -> list[dict[str, object]]:
    return [parts(row, "filename", "sha256", "size") for row in wheels]
