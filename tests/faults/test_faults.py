"""Faults × stages: each really happens to the real program, and one judge says what must hold afterwards.

`make faults` runs all of them and writes docs/reliability.md; `make test` runs those marked ``faults_ci``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faults.case import Case, judge
from faults.disks import can_mount
from faults.table import CASES
from faults.world import World

ALL = os.environ.get("GPUENV_TEST_FAULTS", "")
"""A folder for the rows: then every case is run."""


def params() -> list[object]:
    return [
        pytest.param(case, id=case.id, marks=[pytest.mark.faults_ci] if case.ci else [])
        for case in sorted(CASES, key=lambda case: -case.bound)  # what waits long begins first
        if case.ci or ALL
    ]


@pytest.mark.parametrize("case", params())
def test_a_fault(case: Case, world: World) -> None:
    if case.mounts and not can_mount(world.folder.parent / "mount"):
        pytest.skip(
            "this process may not mount file systems: RLIMIT_FSIZE and errors at named points are tried instead"
        )
    row = judge(case, world)
    if ALL:
        Path(ALL, f"{case.id}.json").write_text(row.json(), encoding="utf-8")
    assert row.wrong == ()


def test_each_row_has_a_name_of_its_own() -> None:
    names = [case.id for case in CASES]
    assert sorted(set(names)) == sorted(names)
