"""The report: what failed stands first, what lies away from its class is named, from four hosts on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gpuenv.fleet.classes import class_name
from gpuenv.fleet.ctrf import to_ctrf
from gpuenv.fleet.desk import FleetHost, HostProblem
from gpuenv.fleet.page import page
from gpuenv.fleet.report import ClassLock, FleetReport, make_report, to_json
from support.choosing import machine

DATA = Path(__file__).parents[2] / "data"
STATUSES = ("passed", "failed", "skipped", "pending", "other")
MACHINE = machine("9.0", driver="580.65.06")
LOCK = ClassLock(path="lockfiles/pylock.auto-x.toml", sha256="1" * 64, torch="2.11.0", variant="cu130", python="3.12")
BUILT = {"lock_sha256": LOCK.sha256, "driver": "580.65.06", "verified": True, "seconds": 12.5}


def evidence(rate: float, **facts: str) -> dict[str, object]:
    return {
        "verdict": "passed",
        "about": {"lock_sha256": LOCK.sha256},
        "machine": {"driver": {"version": "580.65.06"}},
        "rates": [
            {"device": "cuda:0", "what": "copy", "unit": "GB/s", "value": 4000.0},
            {"device": "cuda:1", "what": "copy", "unit": "GB/s", "value": rate},
        ],
        "facts": {f"package {name}": version for name, version in facts.items()},
    }


def proved(name: str, rate: float, **facts: str) -> FleetHost:
    return FleetHost(name=name, machine=MACHINE, built=BUILT, evidence=evidence(rate, **facts))


def report(*hosts: FleetHost) -> FleetReport:
    locks = {class_name(MACHINE): LOCK}
    return make_report(hosts, locks=locks, created="2026-11-26T09:00:00Z", gpuenv="1", profile="auto")


def test_the_slow_card_is_named() -> None:
    found = report(*(proved(f"gpu{number}", rate) for number, rate in enumerate((3000, 3010, 2990, 2700))))
    (apart,) = (each for row in found.hosts for each in row.deviations)
    assert (apart.host, apart.figure.device) == ("gpu3", "cuda:1")
    assert "10% below the class's median of 2995 GB/s" in apart.sentence
    assert [row.verdict for row in found.hosts] == ["unusual", "passed", "passed", "passed"]


def test_five_in_a_hundred_is_usual() -> None:
    found = report(*(proved(f"gpu{number}", rate) for number, rate in enumerate((1000, 1000, 1000, 950))))
    assert not any(row.deviations for row in found.hosts)


def test_three_hosts_have_no_median() -> None:
    found = report(*(proved(f"gpu{number}", rate) for number, rate in enumerate((3000, 3000, 1000))))
    assert not found.classes[0].medians
    assert not any(row.deviations for row in found.hosts)


def test_what_differs_is_said_with_its_hosts() -> None:
    found = report(proved("a", 1, numpy="2.5.2"), proved("b", 1, numpy="2.5.2"), proved("c", 1, numpy="2.5.1"))
    (numpy,) = (each for each in found.classes[0].differences if each.what == "package numpy")
    assert numpy.values == (("2.5.2", ("a", "b")), ("2.5.1", ("c",)))


@pytest.mark.parametrize(
    ("host", "verdict"),
    [
        (FleetHost(name="x", problem=HostProblem(step="detect", kind="unreachable", message="no route")), "failed"),
        (FleetHost(name="x", machine=MACHINE), "waiting"),
        (FleetHost(name="x", machine=MACHINE, built={**BUILT, "lock_sha256": "2" * 64}), "waiting"),
        (FleetHost(name="x", machine=MACHINE, built=BUILT), "built"),
        (replace(proved("x", 1), evidence={"verdict": "failed"}), "failed"),
        (proved("x", 1), "passed"),
    ],
)
def test_the_verdict_of_a_host(host: FleetHost, verdict: str) -> None:
    found = report(proved("a", 1), host)
    assert {row.host.name: row.verdict for row in found.hosts}["x"] == verdict
    assert (found.hosts[0].host.name == "x") == (verdict != "passed")


def diagnosed(severity: int) -> FleetHost:
    row = {"status": "Fail", "warnings": [{"warning": "told", "error_severity": severity}]}
    test = {"name": "software", "results": [row], "test_summary": {"status": "Fail"}}
    value = {"DCGM Diagnostic": {"test_categories": [{"category": "Deployment", "tests": [test]}]}}
    return replace(proved("x", 1), health={"dcgm": json.dumps(value)})


@pytest.mark.parametrize(("severity", "verdict"), [(5, "unusual"), (1, "unusual"), (2, "failed"), (6, "failed")])
def test_a_setting_of_a_card_is_no_failed_card(severity: int, verdict: str) -> None:
    (row,) = report(diagnosed(severity)).hosts
    assert (row.verdict, row.why) == (verdict, "dcgmi diag: software: told")


def test_done_is_the_same_lock_under_the_same_driver() -> None:
    done = proved("x", 1)
    assert done.is_done(LOCK.sha256, proved=True)
    assert not done.is_done("2" * 64, proved=True)
    assert not replace(done, evidence=None).is_done(LOCK.sha256, proved=True)
    assert replace(done, evidence=None).is_done(LOCK.sha256, proved=False)
    assert not replace(done, machine=machine("9.0", driver="580.82.07")).is_done(LOCK.sha256, proved=True)
    assert not replace(done, evidence={**evidence(1), "verdict": "failed"}).is_done(LOCK.sha256, proved=True)


def test_the_page_runs_nothing_that_a_host_says() -> None:
    hostile = FleetHost(name="<script>x", problem=HostProblem(step="detect", kind="x", message="<b>", causes=("<i>",)))
    text = page(report(hostile, proved("a", 1)))
    assert "<script>" not in text
    assert "<b>" not in text.partition("<h2>Hosts")[2]
    assert "<i>" not in text


def ctrf_problems(value: object) -> list[str]:
    """What CTRF's own schema says against a value; tests/data/ctrf has its source and licence."""
    schema = json.loads((DATA / "ctrf/schema.json").read_text("utf-8"))
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    return [each.message for each in jsonschema.Draft7Validator(schema, format_checker=checker).iter_errors(value)]


def every_verdict() -> FleetReport:
    problem = HostProblem(step="detect", kind="unreachable", message="no route", causes=("x",), hints=("y",))
    slow = replace(proved("slow", 1), evidence={**evidence(1), "verdict": "unusual"})
    return report(
        FleetHost(name="failed", problem=problem), FleetHost(name="waiting", machine=MACHINE),
        FleetHost(name="built", machine=MACHINE, built=BUILT), slow, proved("passed", 1),
        FleetHost(name="no-time", machine=MACHINE, built={**BUILT, "seconds": None}),
    )  # fmt: skip


def test_ctrf_is_what_its_schema_says() -> None:
    value: Any = to_ctrf(every_verdict())
    assert {test["status"] for test in value["results"]["tests"]} == {"failed", "pending", "skipped", "other", "passed"}
    assert not ctrf_problems(value)
    assert not ctrf_problems(to_ctrf(report()))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"status": "unusual"}, "'unusual' is not one of"),
        ({"duration": 12.5}, "12.5 is not of type 'integer'"),
        ({"verdict": "failed"}, "Additional properties are not allowed"),
        ({"suite": []}, "[] "),
    ],
)
def test_the_schema_refuses_what_is_none_of_it(wrong: dict[str, object], said: str) -> None:
    value: Any = to_ctrf(every_verdict())
    value["results"]["tests"][0] |= wrong
    assert [each for each in ctrf_problems(value) if said in each]


def test_ctrf_counts_what_it_lists() -> None:
    value: Any = to_ctrf(every_verdict())
    summary, tests = value["results"]["summary"], value["results"]["tests"]
    counts = {status: sum(test["status"] == status for test in tests) for status in STATUSES}
    assert {status: summary[status] for status in STATUSES} == counts
    assert summary["tests"] == len(tests) == sum(counts.values())
    assert (tests[0]["name"], tests[0]["message"]) == ("failed", "detect: no route")


def test_the_json_holds_what_the_page_does() -> None:
    value = to_json(report(proved("a", 1), FleetHost(name="x", machine=MACHINE)))
    assert value["counts"] == {"failed": 0, "unusual": 0, "waiting": 1, "built": 0, "passed": 1}
    (group,) = value["classes"]  # type: ignore[misc]  # a list of one
    assert (group["hosts"], group["driver"], group["capabilities"]) == (["a", "x"], "580.65.06", ["9.0"])
