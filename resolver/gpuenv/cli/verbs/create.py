"""Build a verified environment: detect, decide, lock, build, train in it, write the evidence."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.verbs.report import report_data, report_text
from gpuenv.documents import parts
from gpuenv.steps.context import Context
from gpuenv.steps.machine import begin

if TYPE_CHECKING:
    from gpuenv.commands.create import CreateOutcome
    from gpuenv.installed.marker import Marker
    from gpuenv.steps.plan import Planned
    from gpuenv.steps.rollback import RolledBack

EXAMPLES = (
    ("gpuenv create", "what this machine needs, in .venv-gpu, proved by training"),
    ("gpuenv create --profile blackwell --channel nightly", "a profile, from the nightlies"),
    ("gpuenv create --verify", "nothing changed, and it proves itself again all the same"),
    ("gpuenv create --keep-previous", "and keep what it replaces: `gpuenv create --rollback` puts that back"),
    ("gpuenv create --machine gpu-host.json --no-verify", "for another machine, whose `gpuenv detect --json` is here"),
)


_DECIDED = ("accelerator", "torch", "variant", "channel", "because")
"""What of a decision a program is told."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", type=Path, nargs="?", help="the folder (default: the profile's)")
    proof = parser.add_mutually_exclusive_group()
    proof.add_argument("--no-verify", action="store_true", help="build without proving it (for another machine)")
    proof.add_argument(
        "--verify", action="store_true", help="prove it again, although nothing changed since its last proof"
    )
    proof.add_argument(
        "--keep-failed", action="store_true", help="keep an environment that does not prove itself at TARGET.failed"
    )
    parser.add_argument(
        "--evidence", type=Path, metavar="DIR", help="where the evidence goes (default: evidence/PROFILE)"
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="build it again, although nothing changed since the last build"
    )
    parser.add_argument(
        "--lock", type=Path, metavar="FILE", help="build from this lock, such as a hashed.<profile>.txt, and keep it"
    )
    parser.add_argument("--replace", action="store_true", help="replace the environment of another profile")
    parser.add_argument(
        "--discard-added", action="store_true", help="give up packages that were added since the environment was built"
    )
    parser.add_argument(
        "--keep-previous", action="store_true", help="keep the environment that is replaced at TARGET.previous"
    )
    parser.add_argument(
        "--rollback", action="store_true", help="build nothing: put TARGET.previous back, and keep what stands there"
    )
    parser.add_argument(
        "--write", action="store_true", help="with --relax: write the locked versions into the project's files"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing")
    parser.add_argument(
        "--deep", action="store_true", help="hash every installed file, not only those that look touched"
    )


_OF_A_BUILD = (
    "no_verify", "verify", "keep_failed", "evidence", "rebuild", "replace", "keep_previous", "deep", "write",
    "lock",
)  # fmt: skip


def run(arguments: argparse.Namespace, context: Context) -> CreateOutcome | Planned | RolledBack:
    if arguments.rollback:
        return _roll_back(arguments, context)
    begin(context)
    from gpuenv.commands import create

    options = create.CreateOptions(
        target=arguments.target,
        evidence=arguments.evidence,
        verify=not arguments.no_verify,
        verify_again=arguments.verify,
        rebuild=arguments.rebuild,
        keep_failed=arguments.keep_failed,
        deep=arguments.deep,
        replace=arguments.replace,
        discard_added=arguments.discard_added,
        keep_previous=arguments.keep_previous,
        write=arguments.write,
        lock=arguments.lock,
    )
    return create.dry_run(context, options) if arguments.dry_run else create.run(context, options)


def _roll_back(arguments: argparse.Namespace, context: Context) -> RolledBack:
    from gpuenv.errors import UsageError
    from gpuenv.steps.rollback import roll_back_environment

    other = [f"--{name.replace('_', '-')}" for name in _OF_A_BUILD if getattr(arguments, name)]
    if other:
        raise UsageError(
            f"--rollback builds nothing, and {' and '.join(other)} would do nothing",
            hints=("Run `gpuenv create --rollback` with a TARGET, --discard-added or --dry-run only",),
        )
    return roll_back_environment(
        context, target=arguments.target, discard_added=arguments.discard_added, dry_run=arguments.dry_run
    )


def data(outcome: CreateOutcome | Planned | RolledBack) -> dict[str, object]:
    from gpuenv.commands.create import CreateOutcome

    if not isinstance(outcome, CreateOutcome):
        from gpuenv.steps.plan import Planned

        return _planned_data(outcome) if isinstance(outcome, Planned) else _rolled_back_data(outcome)
    decision, built = outcome.locked.lock.decision, outcome.built
    return {
        "dry_run": False,
        "up_to_date": built is None,
        "profile": outcome.profile.name,
        "environment": str(outcome.environment),
        "replaced": built is not None and built.replaced,
        "previous": None if built is None or built.previous is None else str(built.previous),
        "python": outcome.marker.python,
        **parts(decision, *_DECIDED),
        "lock": outcome.locked.shown,
        "lock_written": outcome.locked.written,
        "packages": [parts(each, "name", "version", "sha256", "hash_origin") for each in outcome.locked.lock.packages],
        "fetched": () if built is None else built.fetched,
        "seconds": {} if built is None else {name: round(value, 3) for name, value in built.seconds.items()},
        "verification": None if outcome.report is None else report_data(outcome.report),
        "proved": None if outcome.proved is None else parts(outcome.proved, "created", "verdict"),
        "evidence": outcome.evidence,
        "activate": outcome.entrance.activate,
        "interpreter": None if outcome.entrance.interpreter is None else str(outcome.entrance.interpreter),
    }


def _planned_data(outcome: Planned) -> dict[str, object]:
    lock = outcome.locked.lock
    return {
        "dry_run": True,
        "up_to_date": outcome.standing,
        "profile": outcome.profile.name,
        "environment": str(outcome.environment),
        **parts(outcome, "python", "evidence"),
        **parts(lock.decision, *_DECIDED),
        "lock": outcome.locked.shown,
        "lock_written": outcome.locked.decided is not None,
        "packages": [parts(each, "name", "version") for each in lock.packages],
        "fetched": [parts(each, "name", "version", "size") for each in outcome.fetched],
        "replaced": _marker_data(outcome.replaced),
        "lost": [parts(each, "name", "version") for each in outcome.lost],
        "previous": None if outcome.previous is None else str(outcome.previous),
        "removed": None if outcome.removed is None else str(outcome.removed),
    }


def _rolled_back_data(outcome: RolledBack) -> dict[str, object]:
    return {
        "dry_run": outcome.dry_run,
        "environment": str(outcome.environment),
        "now": _marker_data(outcome.now),
        "before": _marker_data(outcome.before),
        "previous": outcome.kept,
        "other_lock": outcome.other_lock,
    }


def _marker_data(marker: Marker | None) -> dict[str, object] | None:
    if marker is None:
        return None
    return {
        **parts(marker, "profile", "python", "created"),
        "torch": _torch(marker),
        "lock": marker.lock_name,
    }


def _torch(marker: Marker) -> str | None:
    return next((each.version for each in marker.packages if each.name == "torch"), None)


def text(outcome: CreateOutcome | Planned | RolledBack) -> Iterator[str]:
    from gpuenv.commands.create import CreateOutcome

    if not isinstance(outcome, CreateOutcome):
        from gpuenv.steps.plan import Planned

        yield from _planned_text(outcome) if isinstance(outcome, Planned) else _rolled_back_text(outcome)
        return
    decision, proved = outcome.locked.lock.decision, outcome.proved
    if outcome.report is not None:
        yield from report_text(outcome.report)
    elif proved is not None:
        unusual = ", with something unusual" if proved.verdict == "unusual" else ""
        yield f"up to date: proved on {proved.created}{unusual}; `{outcome.entrance.again}` asks again"
    elif outcome.built is None:
        yield f"up to date; not verified: run `{outcome.entrance.verify}` on the machine it is for"
    else:
        yield f"not verified: run `{outcome.entrance.verify}` on the machine it is for"
    what = "CPU build" if decision.accelerator == "cpu" else decision.variant
    yield f"{outcome.environment}: torch {decision.torch} ({what}), Python {outcome.marker.python}"
    if outcome.evidence is not None:
        yield f"evidence: {outcome.evidence}"
    ways = outcome.entrance
    activate = f"`{ways.activate}`, or " if ways.activate is not None else ""
    yield f"next: {activate}`{ways.run}`; Jupyter: `{ways.kernel}`"
    if ways.interpreter is not None:
        yield f"interpreter for VS Code: {ways.interpreter}"


def _planned_text(outcome: Planned) -> Iterator[str]:
    lock, decided = outcome.locked.lock, outcome.locked.decided is not None
    if outcome.standing and not outcome.problems:
        yield f"{outcome.environment} is up to date: nothing would be built, and it is proved where its proof is old"
        yield "Nothing was written"
        return
    yield f"Would {'write' if decided else 'use'} {outcome.locked.shown}: {len(lock.packages)} packages"
    sizes = [each.size for each in outcome.fetched]
    known = f", {sum(size or 0 for size in sizes) / 1e6:.1f} MB" + (" and more" if None in sizes else "")
    yield f"Would fetch {len(sizes)} wheels{known}" if sizes else "Would fetch nothing"
    for each in outcome.fetched:
        yield f" + {each.name} {each.version}" + (f"  {each.size / 1e6:.1f} MB" if each.size else "")
    what = "CPU build" if lock.decision.accelerator == "cpu" else lock.decision.variant
    yield f"Would build {outcome.environment}: torch {lock.decision.torch} ({what}), {outcome.python}"
    if outcome.replaced is not None:
        kept = f", and keep it as {outcome.previous.name}" if outcome.previous is not None else ""
        yield f"Would replace {_words(outcome.replaced)}{kept}"
    for gone in outcome.lost:
        yield f" - {gone.name} {gone.version}, which was added to it, would be gone"
    if outcome.removed is not None:
        yield f"Would remove {outcome.removed.name}, which an earlier build had kept"
    if outcome.evidence is not None:
        yield f"Would train in it and write {outcome.evidence}"
    yield "Nothing was written"


def _rolled_back_text(outcome: RolledBack) -> Iterator[str]:
    would = "Would put back" if outcome.dry_run else "Put back"
    yield f"{would} {outcome.environment}: {_words(outcome.now)}"
    if outcome.before is not None:
        yield f"{'Would keep' if outcome.dry_run else 'Kept'} as {outcome.kept}: {_words(outcome.before)}"
    if outcome.other_lock is not None:
        yield f"It was built from another {outcome.other_lock} than stands here: the next build is of the one here"


def _words(marker: Marker) -> str:
    torch = _torch(marker)
    return (
        f"{f'torch {torch}' if torch else 'an environment without torch'} of {marker.created}, from {marker.lock_name}"
    )
