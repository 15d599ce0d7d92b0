"""Write lockfiles/pylock.<profile>.toml, or say what would change and why."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.documents import parts
from gpuenv.errors import UsageError
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.lock import LockOutcome, OneLock

EXAMPLES = (
    ("gpuenv lock --profile blackwell", "write or keep lockfiles/pylock.blackwell.toml"),
    ("gpuenv lock --upgrade --dry-run", "what newer versions would change"),
    ("gpuenv lock --check", "in CI: exit 1 where the lock does not hold"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 and the reasons if it does not hold"
    )
    parser.add_argument("-U", "--upgrade", action="store_true", help="ignore the existing lock: keep no version")
    parser.add_argument(
        "-P", "--upgrade-package", action="append", default=[], metavar="NAME", help="allow NAME to be upgraded"
    )
    parser.add_argument("--all", action="store_true", dest="everything", help="every profile but auto")
    parser.add_argument(
        "--write", action="store_true", help="with --relax: write the locked versions into the project's files"
    )
    parser.add_argument("--dry-run", action="store_true", help="show the difference, write nothing")
    parser.add_argument(
        "--for",
        action="append",
        default=[],
        type=Path,
        dest="machines",
        metavar="FILE",
        help="one lock a machine class",
    )
    parser.add_argument("--keep", action="store_true", help="store the wheels, so that they outlive the index")
    parser.add_argument("--single-source", action="store_true", help="take dependencies from the torch source too")
    parser.add_argument(
        "--format",
        choices=("pylock", "requirements", "hashed"),
        default="pylock",
        help="beside the lock, requirements: requirements.<profile>.txt, addresses with hashes, for pip; hashed: "
        "hashed.<profile>.txt, versions with hashes and no address, to be committed",
    )


def run(arguments: argparse.Namespace, context: Context) -> LockOutcome:
    from packaging.utils import canonicalize_name

    from gpuenv.commands import lock

    if arguments.check and (arguments.upgrade or arguments.dry_run or arguments.keep):
        raise UsageError("--check changes nothing, so it goes with none of --upgrade, --dry-run, --keep")
    options = lock.LockOptions(
        check=arguments.check,
        upgrade=arguments.upgrade,
        upgrade_packages=tuple(canonicalize_name(name) for name in arguments.upgrade_package),
        everything=arguments.everything,
        dry_run=arguments.dry_run,
        machines=tuple(arguments.machines),
        keep=arguments.keep,
        single_source=arguments.single_source,
        requirements=arguments.format == "requirements",
        hashed=arguments.format == "hashed",
        write=arguments.write,
    )
    return lock.run(context, options)


def data(outcome: LockOutcome) -> dict[str, object]:
    return {"dry_run": outcome.dry_run, "locks": [row_data(row) for row in outcome.locks]}


def text(outcome: LockOutcome) -> Iterator[str]:
    for row in outcome.locks:
        if len(outcome.locks) > 1 and row.change and row.action != "would-write":
            yield f"{row.path}:"
        if row.change is None and row.lock is not None and row.action == "would-write":
            yield f"Would write {row.path}"
            for package in row.lock.packages:
                yield f" + {package.name}=={package.version}"
        elif row.change is not None and row.action != "checked":
            if row.action == "would-write":
                yield f"Would {'update' if row.change else 'leave'} {row.path}"
            yield from row.change.lines
            for line in row.change.circumstances:
                yield f"   {line}"
        elif row.change is not None and row.reasons:
            yield from row.change.lines


def row_data(row: OneLock) -> dict[str, object]:
    """What happened to one lock, as JSON."""
    lock = row.lock
    return {
        **parts(row, "profile", "path", "action"),
        "torch": None if lock is None else lock.decision.torch,
        "variant": None if lock is None else lock.decision.variant,
        "python": None if lock is None else lock.inputs.target.python,
        "packages": 0 if lock is None else len(lock.packages),
        "changes": []
        if row.change is None
        else [parts(each, "name", "kind", "before", "after") for each in row.change.changes],
        "reasons": [parts(each, "kind", "package", "sentence") for each in row.reasons],
        "requirements": row.requirements or None,
    }
