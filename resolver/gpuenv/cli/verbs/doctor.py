"""Say what is wrong with this machine or an environment, and the one command that fixes it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.doctor import DoctorOutcome

_WORDS = {"ok": "ok", "warning": "warning", "error": "ERROR"}

EXAMPLES = (
    ("gpuenv doctor", "this machine, and the environment if there is one"),
    ("gpuenv doctor ~/project/.venv", "an environment that something else built"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", type=Path, nargs="?", help="the folder (default: the profile's)")
    parser.add_argument(
        "--deep", action="store_true", help="hash every installed file, not only those that look touched"
    )


def run(arguments: argparse.Namespace, context: Context) -> DoctorOutcome:
    from gpuenv.commands import doctor

    return doctor.run(context, environment=arguments.environment, deep=arguments.deep)


def data(outcome: DoctorOutcome) -> dict[str, object]:
    return {
        "environment": outcome.environment,
        "findings": [
            asdict(each) | {"fix": each.fix or None, "by": each.by or None, "check": each.check or None}
            for each in outcome.findings
        ],
    }


def text(outcome: DoctorOutcome) -> Iterator[str]:
    for each in outcome.findings:
        yield f"{_WORDS[each.severity]:<8} {each.subject}: {each.summary}"
        if each.detail and each.severity != "ok":
            yield f"{'':<8}   {each.detail}"
        if each.fix and each.severity != "ok":
            how = f"by hand ({each.by})" if each.by else "fix"
            yield f"{'':<8}   {how}: {each.fix}" + (f"; it worked when {each.check}" if each.by and each.check else "")
