"""Remove packages from the project, or with --env an environment that gpuenv built."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Line, size
from gpuenv.cli.verbs import add
from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.remove import RemoveOutcome
    from gpuenv.commands.requirements import EditOutcome

EXAMPLES = (
    ("gpuenv remove einops", "a package: out of the project's file, its lock and its environment"),
    ("gpuenv remove --env .venv-gpu", "an environment: what would go is shown, and asked about"),
    ("gpuenv remove --env .venv-gpu --yes", "without a question"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("packages", metavar="PACKAGE", nargs="*", help="what the project asks for no longer")
    add.add_options(parser)
    parser.add_argument(
        "--env", type=Path, action="append", metavar="DIR", help="remove this environment; may be repeated"
    )
    parser.add_argument("--yes", "-y", action="store_true", help="with --env: ask no question")
    parser.add_argument(
        "--discard-added", action="store_true", help="with --env: give up packages that were added since it was built"
    )
    parser.add_argument("--dry-run", action="store_true", help="with --env: say what would go, and remove nothing")


def run(arguments: argparse.Namespace, context: Context) -> RemoveOutcome | EditOutcome:
    from gpuenv.errors import UsageError

    if arguments.packages and arguments.env:
        raise UsageError("packages and environments are removed one after the other")
    if arguments.env:
        return _environments(arguments, context)
    if not arguments.packages:
        hints = ("A package: `gpuenv remove NAME`", "An environment: `gpuenv remove --env DIR`")
        raise UsageError("nothing is named to be removed", hints=hints)
    from gpuenv.commands import requirements

    return requirements.remove(context, arguments.packages, add.options_of(arguments))


def _environments(arguments: argparse.Namespace, context: Context) -> RemoveOutcome:
    import sys

    from gpuenv.cli.console import agreed
    from gpuenv.commands import remove
    from gpuenv.errors import UsageError
    from gpuenv.shell import join

    planned = remove.look_at(context, arguments.env, discard_added=arguments.discard_added)
    if arguments.dry_run:
        return planned
    if not arguments.yes:
        for line in _removed(planned):
            context.reporter.notice(line)
        question = "Remove it?" if len(planned.removals) == 1 else "Remove them?"
        answer = agreed(question) if sys.stdin.isatty() else None
        if answer is None:
            again = join(["gpuenv", *context.words, "--yes"])
            raise UsageError("nothing was removed: there is nobody to ask", hints=(f"Do it: `{again}`",))
        if not answer:
            return planned
    return remove.run(context, planned)


def data(outcome: RemoveOutcome | EditOutcome) -> dict[str, object]:
    from gpuenv.commands.remove import RemoveOutcome

    if not isinstance(outcome, RemoveOutcome):
        return add.data(outcome)
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


def text(outcome: RemoveOutcome | EditOutcome) -> Iterator[Line]:
    from gpuenv.commands.remove import RemoveOutcome

    if isinstance(outcome, RemoveOutcome):
        yield from _removed(outcome)
    else:
        yield from add.text(outcome)


def _removed(outcome: RemoveOutcome) -> Iterator[str]:
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
