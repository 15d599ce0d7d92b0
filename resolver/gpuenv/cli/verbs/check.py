"""Say whether a lock, a project or an environment will run on a machine, without building it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Line, Table, Verbatim
from gpuenv.documents import parts
from gpuenv.errors import UsageError
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.check import CheckedPackage, CheckOutcome

OWN = ("machine",)
"""Common options that this verb has in a form of its own."""

EXAMPLES = (
    ("gpuenv check uv.lock", "will what is locked run on this machine?"),
    (
        "gpuenv check uv.lock --machine t4.json --machine rtx5090",
        "and on those? a file of `gpuenv detect --json`, a card",
    ),
    ("gpuenv check requirements.txt -v", "with the facts that each answer follows from"),
    ("gpuenv check .venv --machine rtx5090@576.88", "an environment, on a card with a driver of that version"),
    ("gpuenv check uv.lock --machine h100 --format github", "annotations in a GitHub workflow"),
)

_WORDS = {
    "native": "native",
    "ptx": "PTX",
    "fits": "fits torch",
    "cpu": "CPU",
    "no-compile": "no torch.compile",
    "no-code": "no code",
    "driver": "driver too old",
    "cuda-major": "other CUDA major",
    "will-not-load": "will not load",
    "no-wheel": "no wheel",
    "cpu-build": "CPU build",
    "no-gpu": "no GPU",
    "unknown": "unknown",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="uv.lock, pylock.toml, poetry.lock, pdm.lock, pixi.lock, requirements, environment.yml, or the folder of "
        "an environment (default: the lock in this folder)",
    )
    parser.add_argument(
        "--machine",
        dest="machines",
        action="append",
        type=Path,
        default=[],
        metavar="FILE|CARD",
        help="a machine file, or a card as rtx5090 or rtx5090@DRIVER; may be repeated (default: this machine)",
    )
    parser.add_argument(
        "--read", action="store_true", help="read wheels that no table knows, by ranges over the network; remembered"
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 also where something is not known")
    parser.add_argument(
        "--format",
        choices=("text", "github", "sarif"),
        default="text",
        help="github: annotations of a workflow; sarif: SARIF 2.1.0 for code scanning",
    )


def run(arguments: argparse.Namespace, context: Context) -> CheckOutcome:
    from gpuenv.commands import check

    if arguments.format != "text" and arguments.json:
        raise UsageError(
            f"--json and --format {arguments.format} are two forms of the same answer", hints=("Give one of the two",)
        )
    return check.run(
        context,
        files=arguments.files,
        machines=arguments.machines,
        read=arguments.read,
        strict=arguments.strict,
        format=arguments.format,
        facts=arguments.verbose > 0,
    )


def data(outcome: CheckOutcome) -> dict[str, object]:
    return {
        "machines": [{"name": each.name, "words": each.words} for each in outcome.machines],
        "files": [
            {"file": each.file, "kind": each.kind, "packages": each.count, "pythons": list(each.pythons)}
            for each in outcome.files
        ],
        "rows": [_row(each) for each in outcome.rows],
    }


def _row(row: CheckedPackage) -> dict[str, object]:
    package, verdict = row.package, row.package.verdict
    return {
        "file": row.file,
        "line": package.place.line,
        **parts(row, "set", "machine"),
        "package": package.name,
        **parts(package, "version", "build"),
        "verdict": verdict.word,
        "runs": row.runs,
        **parts(verdict, "by", "detail", "facts", "tells"),
        "members": package.members,
        "next": row.next,
    }


def text(outcome: CheckOutcome) -> Iterator[Line]:
    if outcome.format == "sarif":
        from gpuenv.cli.annotations import sarif

        yield Verbatim(sarif(outcome))
        return
    if outcome.format == "github":
        from gpuenv.cli.annotations import github

        yield from map(Verbatim, github(outcome))
        return
    for machine in outcome.machines:
        yield f"{machine.name}: {machine.words}"
    for file in outcome.files:
        rows = [row for row in outcome.rows if row.file == file.file]
        yield ""
        pythons = ", ".join(dict.fromkeys(file.pythons))
        yield f"{file.file}: {file.count} package{'' if file.count == 1 else 's'}, Python {pythons}"
        for name in dict.fromkeys(row.set for row in rows):
            yield from _set(outcome, name, [row for row in rows if row.set == name])
        if not rows:
            yield "  nothing in it has code for a GPU"


def _set(outcome: CheckOutcome, name: str, rows: list[CheckedPackage]) -> Iterator[Line]:
    names = [each.name for each in outcome.machines]
    keys = dict.fromkeys((row.package.name, row.package.version) for row in rows)
    cells = {(row.package.name, row.package.version, row.machine): row for row in rows}
    table = [
        (_label(package, version, cells), *(_cell(cells.get((package, version, machine))) for machine in names))
        for package, version in keys
    ]
    if name:
        yield ""
        yield f"with {name}:"
    yield Table(heading=(("package", *names),), rows=tuple(table))
    for machine in names:
        yield from _reasons([row for row in rows if row.machine == machine], machine, outcome)


def _label(package: str, version: str, cells: dict[tuple[str, str, str], CheckedPackage]) -> str:
    members = max(len(row.package.members) for key, row in cells.items() if key[:2] == (package, version))
    return f"{package} {version or (f'({members})' if members else '')}".rstrip()


def _cell(row: CheckedPackage | None) -> str:
    if row is None:
        return "–"
    word = _WORDS[row.package.verdict.word]
    return f"{word} {row.package.verdict.by}".rstrip()


def _reasons(rows: list[CheckedPackage], machine: str, outcome: CheckOutcome) -> Iterator[Line]:
    """Why packages do not run on a machine; with ``-v`` of each what its answer follows from."""
    where = f" on {machine}" if len(outcome.machines) > 1 else ""
    told = [row for row in rows if outcome.facts or row.runs is False or row.package.verdict.word == "no-compile"]
    for row in told:
        verdict = row.package.verdict
        yield f"{row.package.name}{where}: {verdict.detail}"
        if outcome.facts:
            yield from (f"  {each}" for each in (*verdict.facts, ", ".join(row.package.members)) if each)
            if verdict.tells:
                yield f"  what would tell: {verdict.tells}"
    unknown = [row.package.name for row in rows if row.runs is None]
    if unknown and not outcome.facts:
        yield f"not known{where}: {', '.join(unknown)} (`-v` says what would tell)"
    for command in dict.fromkeys(row.next for row in rows if row.next and row.runs is None):
        yield f"  to learn it from the files: `{command}`"
