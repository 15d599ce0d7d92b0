"""Show what differs between two locks, or between a lock and an environment."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from gpuenv.cli.project import PathOrName
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.diff import DiffOutcome

EXAMPLES = (
    ("gpuenv diff lock .venv-gpu", "what was changed in the environment since it was built"),
    ("gpuenv diff old.toml lockfiles/pylock.blackwell.toml", "what an upgrade of a lock brought"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "before", type=PathOrName, metavar="A", help="a lock file, `lock` for the profile's, or an environment's folder"
    )
    parser.add_argument("after", type=PathOrName, metavar="B", help="the other; of the two at least one is a lock")


def run(arguments: argparse.Namespace, context: Context) -> DiffOutcome:
    from gpuenv.commands import diff

    return diff.run(context, before=arguments.before, after=arguments.after)


def data(outcome: DiffOutcome) -> dict[str, object]:
    changes: list[dict[str, object]] = [asdict(change) for change in outcome.locks.changes] if outcome.locks else []
    for row in outcome.drifted or ():
        change = asdict(row)
        changes.append({"before": change.pop("expected"), "after": change.pop("found"), **change})
    circumstances = list(outcome.locks.circumstances) if outcome.locks else []
    return {"before": outcome.before, "after": outcome.after, "changes": changes, "circumstances": circumstances}


def text(outcome: DiffOutcome) -> Iterator[str]:
    if outcome.locks is not None:
        yield from outcome.locks.lines
        for line in outcome.locks.circumstances:
            yield f"   {line}"
    for row in outcome.drifted or ():
        who = " ".join(part for part in (f"by {row.by}" if row.by else "", row.when, row.detail) if part)
        note = f"  ({who})" if who else ""
        if row.expected is not None and row.expected != row.found:
            yield f" - {row.name}=={row.expected}" + ("" if row.found else note)
        if row.found is not None:
            sign = "~" if row.expected == row.found else "+"
            yield f" {sign} {row.name}=={row.found}{note}"
    if not (outcome.locks or outcome.drifted):
        yield "No differences"
