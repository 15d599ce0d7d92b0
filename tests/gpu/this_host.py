"""Words that the scripts for a GPU host share: its machine, its torch, and a verification with its messages kept."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "resolver")]

from gpuenv import __version__  # noqa: E402 - the path comes first
from gpuenv.machine.detect import detect  # noqa: E402
from gpuenv.model.machine import Machine  # noqa: E402
from gpuenv.model.profile import VerificationPlan  # noqa: E402
from gpuenv.model.verification import Report  # noqa: E402
from gpuenv.report import Silent  # noqa: E402
from gpuenv.verify import evidence  # noqa: E402
from gpuenv.verify.expected import Expected  # noqa: E402
from gpuenv.verify.messages import Message  # noqa: E402
from gpuenv.verify.verification import run_verification  # noqa: E402


def torch_environment() -> Path:
    """The environment whose Python runs this script: on a GPU host the one that holds torch."""
    return Path(sys.prefix)


def machine() -> Machine:
    """This machine, by gpuenv's own eyes."""
    return detect(environ=os.environ).machine


def verify(
    environment: Path,
    *,
    environ: Mapping[str, str] | None = None,
    plan: VerificationPlan | None = None,
    expected: Expected | None = None,
    folder: Path | None = None,
    silence: float = 150.0,
) -> Report:
    """Verify as the command does; with ``folder``, write the evidence and every message there."""
    seen = machine()
    messages: list[Message] = []
    report = run_verification(
        environment,
        plan=plan or VerificationPlan(),
        accelerator="cuda",
        expected=expected or Expected(),
        machine=seen,
        environ=os.environ if environ is None else environ,
        reporter=Silent(),
        on_event=messages.append,
        silence=silence,
    )
    if folder is not None:
        about = evidence.About(
            created=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            gpuenv=__version__,
            command="python3 tests/gpu/verify_here.py OUT",
            environment=environment.name,
        )
        evidence.write(folder, report=report, machine=seen, about=about, smi_text="see the evidence of create")
        lines = (json.dumps(dataclasses.asdict(message), allow_nan=False) for message in messages)
        (folder / "messages.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    return report


def lines_of(report: Report) -> list[str]:
    """Write a report in a few lines."""
    lines = [f"verdict: {report.verdict}, {report.seconds:.1f} s"]
    for check in report.checks:
        lines.append(f"  {check.status:<15}{check.name:<14}{check.seen}")
        if check.cause:
            lines.append(f"  {'':<29}cause: {check.cause}")
            lines.append(f"  {'':<29}hint:  {check.hint}")
    return lines
