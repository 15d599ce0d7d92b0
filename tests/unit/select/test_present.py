"""The decision as JSON and as text."""

from __future__ import annotations

import json

from gpuenv.knowledge import load
from gpuenv.model.decision import Decision, NoDecision
from gpuenv.select.decide import decide
from gpuenv.select.present import decision_to_json, explain, no_decision_to_json
from support.choosing import catalog, machine, profile, request, wheel

OFFER = catalog(
    [
        wheel("torch", "2.14.0+cu126"),
        wheel("torch", "2.14.0+cu130"),
        wheel("torch", "2.13.0+cu126"),
        wheel("torch", "2.14.0+cu130", tag="cp39-cp39-manylinux_2_28_x86_64"),
    ]
)


def decided(driver: str = "580.95.05") -> Decision | NoDecision:
    on = machine("12.0", driver=driver, cuda="13.0", names=["RTX 5090"])
    said = decide(on, profile("blackwell"), OFFER, {}, request(nightly_offered=True), load())
    assert isinstance(said, Decision | NoDecision)
    return said


def test_json_has_the_keys_of_the_contract() -> None:
    said = decided()
    assert isinstance(said, Decision)
    data = json.loads(json.dumps(decision_to_json(said)))
    assert {"profile", "python", "channel", "variant", "source", "packages", "kernels", "gpus"} <= set(data)
    assert {"driver", "because", "rejected"} <= set(data)
    (package,) = data["packages"]
    assert list(package) == ["name", "version", "filename", "url", "sha256", "size", "requires_python"]
    assert data["kernels"] == {
        "sass": ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"],
        "ptx": [],
        "from": "table",
        "detail": said.kernels.detail if said.kernels else "",
    }
    assert data["gpus"] == [
        {"index": 0, "name": "RTX 5090", "compute_capability": "12.0", "support": "native", "by": "sm_120"}
    ]
    assert data["driver"] == {
        "required": "580.65.06",
        "found": "580.95.05",
        "full": True,
        "source": said.driver.source if said.driver else "",
    }
    assert data["rejected"] == [
        {
            "candidate": "torch 2.14.0+cu130",
            "reason": "python",
            "detail": "for Python 3.9",
            "wheels": 1,
        },
        {
            "candidate": "torch 2.14.0+cu126",
            "reason": "kernels",
            "detail": "no code for sm_120: sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90",
            "wheels": 1,
        },
        {
            "candidate": "torch 2.13.0+cu126",
            "reason": "kernels",
            "detail": "no code for sm_120: sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90",
            "wheels": 1,
        },
    ]


def test_explain_groups_by_reason_newest_first() -> None:
    lines = explain(decided())
    assert lines[lines.index("kernels: no code for a GPU of this machine (2 candidates, 2 wheels)") + 1] == (
        "  torch 2.14.0+cu126, 2.13.0+cu126: no code for sm_120: sm_50 sm_60 sm_70 sm_75 sm_80 sm_86 sm_90"
    )
    assert "accepted (1 torch wheels, best first)" in lines


def test_explain_of_nothing_begins_with_the_reason() -> None:
    said = decided(driver="470.82.01")
    assert isinstance(said, NoDecision)
    assert explain(said)[0] == f"{said.summary}."
    assert no_decision_to_json(said)["summary"] == said.summary
