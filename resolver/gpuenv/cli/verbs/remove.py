"""Remove an environment that gpuenv built: `gpuenv remove --env DIR`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.layout import size
from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.remove import RemoveOutcome

EXAMPLES = (
    ("gpuenv remove --env .venv-gpu", "an environment: what would go is shown, and asked about"),
    ("gpuenv remove --env .venv-gpu --yes", "without a question"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--env", type=Path, action="append", metavar="DIR", help="an environment; may be repeated")
    parser.add_argument("--yes", "-y", action="store_true", help="ask no question")
    parser.add_argument(
        "--discard-added", action="store_true", help="give up packages that were added since it was built"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would go, and remove nothing")


def run(arguments: argparse.Namespace, context: Context) -> RemoveOutcome:
    import shlex
    import sys

    from gpuenv.cli.console import agreed
    from gpuenv.commands import remove
    from gpuenv.errors import UsageError

    if not arguments.env:
        raise UsageError("nothing is named to be removed", hints=("Run `gpuenv remove --env DIR`",))
    planned = remove.look_at(context, arguments.env, discard_added=arguments.discard_added)
    if arguments.dry_run:
        return planned
    if not arguments.yes:
        for line in text(planned):
            context.reporter.notice(line)
        if not sys.stdin.isatty():
            again = shlex.join(["gpuenv", *context.words, "--yes"])
            raise UsageError("nothing was removed: there is nobody to ask", hints=(f"Do it: `{again}`",))
        if not agreed("Remove it?" if len(planned.removals) == 1 else "Remove them?"):
            return planned
    return remove.run(context, planned)


def data(outcome: RemoveOutcome) -> dict[str, object]:
    return {
        "dry_run": outcome.dry_run,
        "environments": [
            {
                "path": str(each.environment.path),
                "profile": each.marker.profile,
                "torch": each.environment.torch,
                "bytes": each.bytes,
                "beside": [str(path) for path in each.beside],
                "added": [parts(package, "name", "version") for package in each.environment.added],
            }
            for each in outcome.removals
        ],
    }


def text(outcome: RemoveOutcome) -> Iterator[str]:
    for each in outcome.removals:
        torch = f"torch {each.environment.torch}" if each.environment.torch else "no torch"
        yield (
            f"{'Would remove' if outcome.dry_run else 'Removed'} {each.environment.path}: "
            f"profile {each.marker.profile}, {torch}, {size(each.bytes)}"
        )
        for path in each.beside:
            yield f" - {path.name}, which gpuenv kept beside it"
        for package in each.environment.added:
            yield f" - {package.name} {package.version}, which was added to it"
    yield "Its lock and its evidence stay" if len(outcome.removals) == 1 else "Their locks and evidence stay"
