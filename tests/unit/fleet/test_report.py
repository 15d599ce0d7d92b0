"""The report: what failed stands first, what lies away from its class is named, from four hosts on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuenv.fleet.classes import class_name
from gpuenv.fleet.ctrf import to_ctrf
from gpuenv.fleet.desk import FleetHost, HostProblem
from gpuenv.fleet.page import page
from gpuenv.fleet.report import ClassLock, FleetReport, make_report, to_json
from support.choosing import machine

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


def test_ctrf_counts_what_it_lists() -> None:
    """Keys and types of CTRF's schema (ctrf-io/ctrf, `schema/ctrf.schema.json` at 08703df), which allows no others."""
    failed = FleetHost(
        name="x", problem=HostProblem(step="detect", kind="unreachable", message="no route", hints=("y",))
    )
    value = to_ctrf(report(failed, proved("a", 1), FleetHost(name="w", machine=MACHINE)))
    results = value["results"]
    assert isinstance(results, dict)
    assert set(value) == {"reportFormat", "specVersion", "timestamp", "generatedBy", "results"}
    assert {"tool", "summary", "tests"} == set(results)
    assert set(results["tool"]) == {"name", "version"}
    assert set(results["summary"]) == {"tests", "passed", "failed", "skipped", "pending", "other", "start", "stop"}
    assert all(type(each) is int for each in results["summary"].values())
    texts = {"name", "status", "rawStatus", "message", "trace"}
    for test in results["tests"]:
        assert {"name", "status", "duration"} <= set(test) <= texts | {"duration", "suite"}
        assert type(test["duration"]) is int
        assert all(isinstance(test[key], str) and test[key] for key in texts & set(test))
        assert test["suite"]
        assert all(isinstance(each, str) for each in test["suite"])
    counts = {"tests": 3, "passed": 1, "failed": 1, "pending": 1, "skipped": 0, "other": 0}
    assert {key: results["summary"][key] for key in counts} == counts
    assert [(test["name"], test["status"]) for test in results["tests"]] == [
        ("x", "failed"), ("w", "pending"), ("a", "passed"),
    ]  # fmt: skip
    assert results["tests"][0]["message"] == "detect: no route"


def test_the_json_holds_what_the_page_does() -> None:
    value = to_json(report(proved("a", 1), FleetHost(name="x", machine=MACHINE)))
    assert value["counts"] == {"failed": 0, "unusual": 0, "waiting": 1, "built": 0, "passed": 1}
    (group,) = value["classes"]  # type: ignore[misc]  # a list of one
    assert (group["hosts"], group["driver"], group["capabilities"]) == (["a", "x"], "580.65.06", ["9.0"])
