"""Writes the evidence folder: the same findings for a person to read and for a program to compare."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import Machine
from gpuenv.model.profile import VerificationPlan
from gpuenv.model.verification import Report
from gpuenv.report import escaped, visible
from gpuenv.system.files import write_atomic
from gpuenv.verify import evidence_page, evidence_text
from gpuenv.verify.payload.channel import plain

SCHEMA = {"name": "gpuenv-evidence", "version": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The circumstances of a verification, as values: writing them twice gives the same bytes."""

    created: str
    """When it was run, RFC 3339, UTC."""
    gpuenv: str
    """gpuenv's version."""
    command: str
    """What to type to repeat it."""
    environment: str
    """The environment as a person names it, relative to the project where it is inside."""
    profile: str | None = None
    lock: str | None = None
    """Where the lock lies, relative to the evidence folder where it is reachable that way: it becomes a link."""
    lock_sha256: str | None = None
    because: tuple[str, ...] = ()
    """The sentences of the decision."""
    uv: str | None = None
    plan: VerificationPlan | None = None
    """What was asked of the environment."""
    gpus: tuple[str, ...] = ()
    """The UUIDs of those of the machine's GPUs that it was asked on."""


FILES = (
    "README.md", "env_info.txt", "torch_version.txt", "cuda_check.txt", "nvidia_smi.txt", "training_log.txt",
    "report.html", "evidence.json",
)  # fmt: skip
"""What a folder of evidence holds, the page to open first. evidence.json is written last: after a kill between two
files a program still reads the whole of one run."""


def write(folder: Path, *, report: Report, machine: Machine, about: About, smi_text: str) -> tuple[Path, ...]:
    """Write the eight files, replacing older ones, and return their paths, the page to open first.

    Every file of a CPU run says CPU. Same arguments, same bytes. Raises :class:`~gpuenv.errors.FileError` where
    the folder cannot be written.
    """
    text = evidence_text.Text(report=report, machine=machine, about=about)
    value = to_json(report=report, machine=machine, about=about)
    contents = (
        text.readme(),
        text.env_info(),
        text.torch_version(),
        text.cuda_check(),
        text.nvidia_smi(smi_text),
        text.training_log(),
        evidence_page.page(text),
        json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
    )
    for name, content in zip(FILES, contents, strict=True):
        # What is read must not command a terminal or a page, whatever a name in it holds.
        shown = escaped(content) if name.endswith(".json") else "\n".join(map(visible, content.split("\n")))
        write_atomic(folder / name, shown, what="the evidence")
    return tuple(folder / name for name in FILES)


def to_json(*, report: Report, machine: Machine, about: About) -> dict[str, object]:
    """Return the whole of the evidence as JSON values; numbers that are none become words (``"nan"``)."""
    return plain(
        {
            "schema": SCHEMA,
            "verdict": report.verdict,
            "accelerator": report.accelerator,
            "ran_on": "GPU" if report.accelerator == "cuda" else "CPU",
            "about": asdict(about),
            "machine": replace(machine, sources=()).to_json(),
            "checks": [asdict(check) for check in report.checks],
            "runs": [asdict(run) for run in report.runs],
            "final_losses": [{"seed": seed, "loss": loss} for seed, loss in report.final_losses],
            "curves": [asdict(curve) for curve in report.curves],
            "families": [asdict(family) for family in report.families],
            "rates": [asdict(rate) | {"share": rate.share} for rate in report.rates],
            "facts": dict(report.facts),
            "seconds": report.seconds,
        }
    )
