"""What gpuenv keeps: pages, facts, RECORDs and wheels; where, how much, and removed on demand."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.cache import CacheOutcome

EXAMPLES = (
    ("gpuenv cache size", "what is kept, and what killed runs left"),
    ("gpuenv cache clean", "remove what can be had again and what was left; wheels that a lock names stay"),
    ("gpuenv cache clean records --dry-run", "what one part takes: pages, facts, records, store or leftovers"),
)

_WORDS = {
    "pages": "pages of indexes",
    "facts": "facts read from wheels, and the Pythons of this machine",
    "records": "RECORDs of installed wheels",
    "store": "kept wheels",
    "leftovers": "left by killed runs",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("dir", "size", "clean"), nargs="?", default="size", help="default: size")
    parser.add_argument(
        "parts",
        metavar="PART",
        nargs="*",
        help="with `clean`: pages, facts, records, store or leftovers (default: all but records)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what `clean` would remove")


def run(arguments: argparse.Namespace, context: Context) -> CacheOutcome:
    from gpuenv.commands import cache
    from gpuenv.errors import UsageError

    unknown = [part for part in arguments.parts if part not in _WORDS]
    if unknown:
        raise UsageError(
            f"PART must be one of {', '.join(_WORDS)}, not {unknown[0]!r}",
            hints=("Run `gpuenv help cache`",),
        )
    if arguments.action != "clean" and (arguments.parts or arguments.dry_run):
        raise UsageError(
            f"`cache {arguments.action}` shows everything and takes nothing more",
            hints=("See what cleaning would remove: `gpuenv cache clean --dry-run`",),
        )
    return cache.run(context, action=arguments.action, parts=arguments.parts, dry_run=arguments.dry_run)


def data(outcome: CacheOutcome) -> dict[str, object]:
    return {
        "action": outcome.action,
        "kept": {
            each.part: {"folder": str(each.folder), "files": len(each.files), "bytes": each.bytes}
            for each in outcome.kept
        },
        "leftovers": [{"path": str(each.path), "what": each.what, "bytes": each.bytes} for each in outcome.leftovers],
        "environments": [str(path) for path in outcome.environments],
        "removed": {each.part: {"files": each.files, "bytes": each.bytes} for each in outcome.cleaned},
        "unsure": [{"lock": root.lock or None, "state": root.state} for root in outcome.unsure],
        "dry_run": outcome.dry_run,
    }


def text(outcome: CacheOutcome) -> Iterator[str]:
    if outcome.action == "dir":
        for each in outcome.kept:
            yield f"{each.part:<10} {each.folder}"
        return
    if outcome.action == "clean":
        for part in outcome.cleaned:
            verb = "Would remove" if outcome.dry_run else "Removed"
            yield f"{verb} {part.files} {_WORDS[part.part]}, {_megabytes(part.bytes)}"
        yield from (f" - {each.path}: {each.what}" for each in outcome.leftovers)
        yield from (f"   kept for a registered lock: {root.words}" for root in outcome.unsure)
        return
    for each in outcome.kept:
        yield f"{each.part:<10} {_megabytes(each.bytes):>12}  {len(each.files)} {_WORDS[each.part]} in {each.folder}"
    if outcome.leftovers:
        total = sum(each.bytes for each in outcome.leftovers)
        yield f"{'leftovers':<10} {_megabytes(total):>12}  {len(outcome.leftovers)} {_WORDS['leftovers']}:"
        yield from (f" - {each.path}: {each.what}" for each in outcome.leftovers)
    yield from (f"kept environment: {path}" for path in outcome.environments)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
