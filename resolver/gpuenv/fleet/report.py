"""The fleet's report as a value and as JSON: classes, hosts, verdicts, figures, what differs, failed first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.fleet import health
from gpuenv.fleet.classes import FleetClass, classes
from gpuenv.fleet.desk import FleetHost, HostProblem
from gpuenv.fleet.figures import (
    Deviation,
    FigureDifference,
    Median,
    deviations,
    differences,
    figures_of,
    medians,
)
from gpuenv.fleet.health import Figure

SCHEMA = {"name": "gpuenv-fleet-report", "version": "1"}

Verdict = Literal["failed", "unusual", "passed", "built", "waiting"]
ORDER: tuple[Verdict, ...] = ("failed", "unusual", "waiting", "built", "passed")
"""In which hosts are listed. ``built``: an environment that was not proved; ``waiting``: nothing was built yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassLock:
    """The lock of a class: its file as the project shows it, its digest, what it is of. Empty where there is none."""

    path: str = ""
    sha256: str = ""
    torch: str = ""
    variant: str = ""
    python: str = ""
    packages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """One host in the report."""

    host: FleetHost
    group: str
    """Its class; empty where it could not be asked."""
    verdict: Verdict
    why: str
    figures: tuple[Figure, ...]
    deviations: tuple[Deviation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One class in the report."""

    group: FleetClass
    lock: ClassLock
    medians: tuple[Median, ...]
    differences: tuple[FigureDifference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetReport:
    """The whole. ``hosts`` with what failed first, then by class and name."""

    created: str
    gpuenv: str
    profile: str
    classes: tuple[ClassRow, ...]
    hosts: tuple[HostRow, ...]

    def count(self, verdict: Verdict) -> int:
        """How many hosts have a verdict."""
        return sum(row.verdict == verdict for row in self.hosts)

    @property
    def summary(self) -> str:
        """The counts in one line."""
        words = {"failed": "failed", "unusual": "unusual", "waiting": "not built", "built": "built, not proved",
                 "passed": "passed"}  # fmt: skip
        counts = [f"{self.count(each)} {words[each]}" for each in ORDER if self.count(each)]
        return f"{len(self.hosts)} hosts in {len(self.classes)} classes: {', '.join(counts) or 'none'}"


def make_report(
    hosts: Sequence[FleetHost], *, locks: Mapping[str, ClassLock], created: str, gpuenv: str, profile: str
) -> FleetReport:
    """Put together what the hosts said. ``locks`` are by the name of the class. One pass over the hosts and their
    figures: time and memory grow with their number."""
    groups = classes({host.name: host.machine for host in hosts if host.machine is not None})
    by_name = {host.name: host for host in hosts}
    rows: list[HostRow] = []
    found: list[ClassRow] = []
    for group in groups:
        members = [by_name[name] for name in group.members]
        figures = {host.name: figures_of(host) for host in members}
        middles = medians(figures)
        apart: dict[str, list[Deviation]] = {}
        for each in deviations(figures, middles):
            apart.setdefault(each.host, []).append(each)
        lock = locks.get(group.name, ClassLock())
        found.append(ClassRow(group=group, lock=lock, medians=middles, differences=differences(members)))
        rows += [_row(host, group.name, lock, figures[host.name], apart.get(host.name, ())) for host in members]
    rows += [_row(host, "", ClassLock(), figures_of(host), ()) for host in hosts if host.machine is None]
    rows.sort(key=lambda row: (ORDER.index(row.verdict), row.group, row.host.name))
    return FleetReport(created=created, gpuenv=gpuenv, profile=profile, classes=tuple(found), hosts=tuple(rows))


def _row(
    host: FleetHost, group: str, lock: ClassLock, figures: Sequence[Figure], apart: Sequence[Deviation]
) -> HostRow:
    verdict, why = _verdict(host, lock, apart)
    return HostRow(host=host, group=group, verdict=verdict, why=why, figures=tuple(figures), deviations=tuple(apart))


def _verdict(host: FleetHost, lock: ClassLock, apart: Sequence[Deviation]) -> tuple[Verdict, str]:
    if host.problem is not None:
        return "failed", f"{host.problem.step}: {host.problem.message}"
    diagnoses = health.diagnoses(host.health)
    failed, mild = [each for each in diagnoses if each.failed], [each for each in diagnoses if each.mild]
    if failed:
        return "failed", f"dcgmi diag: {failed[0].test}: {failed[0].detail or failed[0].result}"
    if not host.built or (lock.sha256 and host.built.get("lock_sha256") != lock.sha256):
        return "waiting", "an environment of an earlier lock stands there" if host.built else "nothing was built yet"
    said = (host.evidence or {}).get("verdict")
    if said == "failed":
        return "failed", "verify: the environment did not prove itself"
    if said not in ("passed", "unusual"):
        return "built", "not verified"
    if apart:
        return "unusual", apart[0].sentence
    if mild:
        return "unusual", f"dcgmi diag: {mild[0].test}: {mild[0].detail}"
    return ("unusual", "its proof says unusual") if said == "unusual" else ("passed", "")


def to_json(report: FleetReport) -> dict[str, object]:
    """The report as plain JSON values; evidence stays in its own files."""
    return {
        "schema": SCHEMA,
        "created": report.created,
        "gpuenv": report.gpuenv,
        "profile": report.profile,
        "counts": {each: report.count(each) for each in ORDER},
        "classes": [_class_json(row) for row in report.classes],
        "hosts": [_host_json(row) for row in report.hosts],
    }


def _class_json(row: ClassRow) -> dict[str, object]:
    machine = row.group.machine
    return {
        "name": row.group.name,
        "os": machine.os,
        "arch": machine.arch,
        "libc": machine.libc,
        "driver": machine.driver.version if machine.driver is not None else None,
        "capabilities": sorted({str(gpu.compute_capability) for gpu in machine.gpus}),
        "hosts": list(row.group.members),
        "lock": asdict(row.lock) if row.lock.path else None,
        "medians": [asdict(each) for each in row.medians],
        "differences": [
            {"what": each.what, "values": [{"value": value, "hosts": list(hosts)} for value, hosts in each.values]}
            for each in row.differences
        ],
    }


def _host_json(row: HostRow) -> dict[str, object]:
    host = row.host
    return {
        "name": host.name,
        "class": row.group or None,
        "verdict": row.verdict,
        "why": row.why,
        "problem": _problem_json(host.problem),
        "built": dict(host.built) or None,
        "figures": [asdict(each) for each in row.figures],
        "deviations": [
            asdict(each) | {"sentence": each.sentence, "figure": asdict(each.figure)} for each in row.deviations
        ],
        "dcgm": [asdict(each) for each in health.diagnoses(host.health)],
    }


def _problem_json(problem: HostProblem | None) -> dict[str, object] | None:
    return None if problem is None else asdict(problem)
