"""The report as CTRF, the Common Test Report Format that CI systems read: one test a host and step."""

from __future__ import annotations

from datetime import datetime

from gpuenv.fleet.report import FleetReport, HostRow

_STATUS = {"failed": "failed", "unusual": "other", "waiting": "pending", "built": "skipped", "passed": "passed"}
"""A host that was built and not proved is a test that was skipped; an unusual one neither passed nor failed."""


def to_ctrf(report: FleetReport) -> dict[str, object]:
    """One object of CTRF 0.0.0 (its schema asks for tool, summary and tests), times in milliseconds."""
    tests = [_test(row) for row in report.hosts]
    moment = int(datetime.fromisoformat(report.created.replace("Z", "+00:00")).timestamp() * 1000)
    counts = {status: sum(test["status"] == status for test in tests) for status in _STATUS.values()}
    return {
        "reportFormat": "CTRF",
        "specVersion": "0.0.0",
        "timestamp": report.created,
        "generatedBy": f"gpuenv {report.gpuenv}",
        "results": {
            "tool": {"name": "gpuenv", "version": report.gpuenv},
            "summary": {"tests": len(tests), **counts, "start": moment, "stop": moment},
            "tests": tests,
        },
    }


def _test(row: HostRow) -> dict[str, object]:
    seconds = row.host.built.get("seconds")
    test: dict[str, object] = {
        "name": row.host.name,
        "status": _STATUS[row.verdict],
        "duration": round(float(seconds) * 1000) if isinstance(seconds, int | float) else 0,
        "suite": [row.group or "not asked"],
        "rawStatus": row.verdict,
    }
    if row.why:
        test["message"] = row.why
    problem = row.host.problem
    if problem is not None and (problem.causes or problem.hints):
        test["trace"] = "\n".join((*problem.causes, *(f"hint: {each}" for each in problem.hints)))
    return test
