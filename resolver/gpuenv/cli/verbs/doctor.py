"""Say what is wrong with this machine or an environment, and the one command that fixes it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.shell import quote
from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.doctor import DoctorOutcome

_WORDS = {"ok": "ok", "warning": "warning", "error": "ERROR"}

EXAMPLES = (
    ("gpuenv doctor", "this machine, and the environment if there is one"),
    ("gpuenv doctor ~/project/.venv", "an environment that something else built"),
    ("gpuenv doctor --report", "write one file to send to somebody who helps, without secrets"),
    ("gpuenv doctor --from gpuenv-report.json", "show what was found where such a file was written"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("environment", metavar="ENV", type=Path, nargs="?", help="the folder (default: the profile's)")
    parser.add_argument(
        "--deep", action="store_true", help="hash every installed file, not only those that look touched"
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        type=Path,
        nargs="?",
        const=Path("gpuenv-report.json"),
        help="also write one file to send, without secrets (default: gpuenv-report.json)",
    )
    parser.add_argument(
        "--from", dest="sent", metavar="FILE", type=Path, help="show the findings of such a file, and examine nothing"
    )


def run(arguments: argparse.Namespace, context: Context) -> DoctorOutcome:
    from gpuenv.commands import doctor
    from gpuenv.errors import UsageError

    if arguments.sent is not None:
        if arguments.environment is not None or arguments.report is not None or arguments.deep:
            raise UsageError(
                "--from shows a report that somebody sent, and examines nothing here",
                hints=(f"Leave out the rest: `gpuenv doctor --from {quote(str(arguments.sent))}`",),
            )
        return doctor.show(context, arguments.sent)
    return doctor.run(context, environment=arguments.environment, deep=arguments.deep, report=arguments.report)


def data(outcome: DoctorOutcome) -> dict[str, object]:
    return {
        "environment": outcome.environment,
        "report": outcome.report,
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
    if outcome.report is not None:
        from gpuenv.doctor.report import CONTENT, LEFT_OUT

        yield ""
        yield f"The report lies in {outcome.report}. It holds {CONTENT}."
        yield f"Left out: {LEFT_OUT}."
        yield f"Read it before you send it. `gpuenv doctor --from {quote(outcome.report)}` shows what it says."
