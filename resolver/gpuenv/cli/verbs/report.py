"""Show a verification report, for the verbs that have one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from gpuenv.documents import parts

if TYPE_CHECKING:
    from gpuenv.model.nodes import NodesReport
    from gpuenv.model.verification import Check, Report, Training

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
        "checks": _checks(report.checks),
        "training": None if report.training is None else _training(report.training),
        "facts": dict(report.facts),
    }


def report_text(report: Report) -> Iterator[str]:
    """The report as lines: one a check, what was seen and, where it is not well, why and what to type."""
    yield from _lines(report.checks)
    device = "CPU" if report.accelerator == "cpu" else "GPU"
    yield f"verification {_VERDICTS[report.verdict]} on {device} in {report.seconds:.1f} s"


def nodes_data(report: NodesReport) -> dict[str, object]:
    """What several hosts proved together, as JSON."""
    return {
        **parts(report, "verdict", "accelerator"),
        "seconds": round(report.seconds, 3),
        "nodes": list(report.nodes),
        "ranks": [parts(each, "rank", "node", "device", "name") for each in report.ranks],
        "checks": _checks(report.checks),
        "bandwidth": [parts(each, "bytes", "seconds", "gigabytes", "slowest") for each in report.buses],
        "links": [parts(each, "source", "target", "within", "gigabytes", "wrong") for each in report.links],
    }


def nodes_text(report: NodesReport) -> Iterator[str]:
    """The same as lines."""
    yield from _lines(report.checks)
    device = "CPU" if report.accelerator == "cpu" else "GPU"
    verdict = f"{_VERDICTS[report.verdict]} on {device} in {report.seconds:.1f} s"
    yield f"verification of {report.meeting.nodes} nodes together {verdict}"


def _checks(checks: Sequence[Check]) -> list[dict[str, object]]:
    return [parts(check, "name", "title", "status", "seen", "expected", "cause", "hint") for check in checks]


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    width = max((len(check.title) for check in checks), default=0)
    for check in checks:
        yield f"{_WORDS[check.status]:<8} {check.title:<{width}}  {check.seen}"
        if check.status in ("failed", "unusual", "warned"):
            yield f"{'':<8} {'':<{width}}  expected: {check.expected}"
            if check.cause:
                yield f"{'':<8} {'':<{width}}  cause: {check.cause}"
            if check.hint:
                yield f"{'':<8} {'':<{width}}  hint: {check.hint}"


def _training(training: Training) -> dict[str, object]:
    return {
        **parts(training, "model", "parameters", "device", "precision", "batch_size", "tokens_per_sample"),
        **parts(training, "samples_available", "samples_seen", "final_loss", "peak_memory_bytes"),
        "steps": len(training.steps),
        "losses": [step.loss for step in training.steps],
        "seconds": round(training.seconds, 4),
        "samples_per_second": round(training.samples_per_second, 2),
    }
