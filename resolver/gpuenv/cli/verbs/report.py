"""Show a verification report, for the verbs that have one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.documents import parts

if TYPE_CHECKING:
    from gpuenv.model.verification import Report, Training

_WORDS = {
    "passed": "passed", "unusual": "unusual", "failed": "FAILED", "warned": "warning", "not-applicable": "not run",
}  # fmt: skip
_VERDICTS = {"passed": "passed", "unusual": "passed, with something unusual,", "failed": "failed"}


def report_data(report: Report) -> dict[str, object]:
    """The report as JSON."""
    return {
        "verdict": report.verdict,
        "accelerator": report.accelerator,
        "seconds": round(report.seconds, 3),
        "checks": [
            parts(check, "name", "title", "status", "seen", "expected", "cause", "hint") for check in report.checks
        ],
        "training": None if report.training is None else _training(report.training),
        "facts": dict(report.facts),
    }


def report_text(report: Report) -> Iterator[str]:
    """The report as lines: one a check, what was seen and, where it is not well, why and what to type."""
    width = max((len(check.title) for check in report.checks), default=0)
    for check in report.checks:
        yield f"{_WORDS[check.status]:<8} {check.title:<{width}}  {check.seen}"
        if check.status in ("failed", "unusual", "warned"):
            yield f"{'':<8} {'':<{width}}  expected: {check.expected}"
            if check.cause:
                yield f"{'':<8} {'':<{width}}  cause: {check.cause}"
            if check.hint:
                yield f"{'':<8} {'':<{width}}  hint: {check.hint}"
    device = "CPU" if report.accelerator == "cpu" else "GPU"
    yield f"verification {_VERDICTS[report.verdict]} on {device} in {report.seconds:.1f} s"


def _training(training: Training) -> dict[str, object]:
    return {
        **parts(training, "model", "parameters", "device", "precision", "batch_size", "tokens_per_sample"),
        **parts(training, "samples_available", "samples_seen", "final_loss", "peak_memory_bytes"),
        "steps": len(training.steps),
        "losses": [step.loss for step in training.steps],
        "seconds": round(training.seconds, 4),
        "samples_per_second": round(training.samples_per_second, 2),
    }
