"""List the environments that gpuenv built on this machine: profile, torch, last proof, size."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.cli.layout import Line, Table, size
from gpuenv.documents import parts
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.list import ListOutcome
    from gpuenv.steps.environments import KnownEnvironment

EXAMPLES = (("gpuenv list", "the environments of this project and those built elsewhere by this user"),)


def configure(parser: argparse.ArgumentParser) -> None:
    """It takes nothing of its own."""


def run(arguments: argparse.Namespace, context: Context) -> ListOutcome:
    from gpuenv.commands import list

    return list.run(context)


def data(outcome: ListOutcome) -> dict[str, object]:
    return {"environments": [_data(each) for each in outcome.environments]}


def _data(each: KnownEnvironment) -> dict[str, object]:
    proved = each.proved
    return {
        "path": str(each.path),
        "project": str(each.project),
        **parts(each.marker, "profile", "python", "created"),
        **parts(each, "torch", "lock_changed", "bytes"),
        "proved": None if proved is None else {**parts(proved, "created", "verdict"), "gpus": _cards(each)},
        "added": [parts(package, "name", "version") for package in each.added],
    }


def text(outcome: ListOutcome) -> Iterator[Line]:
    if not outcome.environments:
        yield "No environments; `gpuenv create` builds one"
        return
    rows = tuple(_row(each, outcome.project) for each in outcome.environments)
    yield Table(heading=(("environment", "profile", "torch", "Python", "proved", "size", ""),), rows=rows)


def _row(each: KnownEnvironment, project: Path) -> tuple[str, ...]:
    inside = each.path.is_relative_to(project)
    proved = "never"
    if each.proved is not None:
        verdict = "" if each.proved.verdict == "passed" else f" ({each.proved.verdict})"
        proved = f"{each.proved.created[:10]}{verdict} on {', '.join(_cards(each)) or 'the CPU'}"
    notes = [f"{len(each.added)} added"] if each.added else []
    notes += ["the lock has changed since"] if each.lock_changed else []
    return (
        each.path.relative_to(project).as_posix() if inside else str(each.path),
        each.marker.profile,
        each.torch or "none",
        each.marker.python,
        proved,
        size(each.bytes),
        ", ".join(notes),
    )


def _cards(each: KnownEnvironment) -> list[str]:
    return sorted({name for _, name, _ in each.proved.gpus}) if each.proved is not None else []
