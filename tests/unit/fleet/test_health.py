"""What DCGM, nvbandwidth and nccl-tests print, as their documentation shows it."""

from __future__ import annotations

import json

from gpuenv.fleet import health

PERSISTENCE = "Persistence Mode: Persistence mode for GPU 0 is disabled. Enable persistence mode by running ..."
DCGM = {
    "DCGM Diagnostic": {
        "test_categories": [
            {
                "category": "Deployment",
                "tests": [
                    {
                        "name": "software",
                        "results": [
                            {
                                "entity_group": "GPU",
                                "entity_group_id": 1,
                                "entity_id": 0,
                                "status": "Fail",
                                "warnings": [
                                    {"error_category": 8, "error_id": 29, "error_severity": 5, "warning": PERSISTENCE}
                                ],
                            }
                        ],
                        "test_summary": {"status": "Fail", "info": ["SRAM Threshold checking was skipped."]},
                    },
                    None,
                    {
                        "name": "memory",
                        "results": [
                            {
                                "entity_id": 1,
                                "status": "Fail",
                                "warnings": [{"warning": "page retired", "error_id": 1, "error_severity": 2}],
                            },
                            {"entity_id": 0, "status": "Pass"},
                        ],
                        "test_summary": {"status": "Fail"},
                    },
                    {"name": "pcie", "results": [], "test_summary": {"status": "Skip"}},
                ],
            }
        ]
    },
    "metadata": {"version": "4.2.3", "Driver Version Detected": "580.82.09"},
}
"""In the shape of DCGM 4's own output on a card whose persistence mode is off (recorded by others; exit 226)."""
OLD = {
    "DCGM GPU Diagnostic": {
        "test_categories": [
            {
                "tests": [
                    {"name": "Denylist", "results": [{"gpu_ids": "0", "status": "FAIL", "warnings": "nouveau"}]},
                    None,
                ]
            }
        ]
    }
}
NVBANDWIDTH = {
    "nvbandwidth": {
        "testcases": [
            {"name": "device_to_host_memcpy_ce", "status": "Passed", "sum": 55.2},
            {"name": "multinode", "status": "Waived"},
        ]
    }
}
NCCL = "# nThread 1 nGpus 8\n   1073741824  480.1\n# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 474.31\n#\n"


def test_both_forms_of_dcgm_are_read() -> None:
    found = health.diagnoses({"dcgm": "Successfully ran diagnostic\n" + json.dumps(DCGM)})
    assert [(each.test, each.result, each.failed, each.mild, each.detail) for each in found] == [
        ("software", "Fail", False, True, PERSISTENCE),
        ("memory", "Fail", True, False, "page retired"),
        ("memory", "Pass", False, False, ""),
        ("pcie", "Skip", False, False, ""),
    ]
    (old,) = health.diagnoses({"dcgm": json.dumps(OLD)})
    assert (old.test, old.failed, old.detail) == ("Denylist", True, "nouveau")


def test_figures_are_taken_where_they_are_given() -> None:
    found = {
        each.what: each.value for each in health.figures({"nvbandwidth": json.dumps(NVBANDWIDTH), "nccl-tests": NCCL})
    }
    assert found == {
        "nvbandwidth device_to_host_memcpy_ce, sum": 55.2,
        "nccl-tests all-reduce, average bus bandwidth": 474.31,
    }


def test_anything_else_says_nothing() -> None:
    for text in ("", "{", "it took more than 600 seconds", "[]", '{"DCGM Diagnostic": {"test_categories": [1]}}'):
        said = {"dcgm": text, "nvbandwidth": text, "nccl-tests": text}
        assert not health.diagnoses(said)
        assert not list(health.figures(said))
