"""Faults × stages: each really happens to the real program, and one judge says what must hold afterwards.

`make faults` runs all of them and writes docs/reliability.md; `make test` runs those marked ``faults_ci``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.case import Case, judge
from faults.disks import can_mount
from faults.table import CASES
from faults.world import TIMED_OUT, World
from support.cli import Run

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


def spoil(world: World) -> None:
    (world.target / "pyvenv.cfg").unlink()


def leave(world: World) -> None:
    (world.person.home / "left").touch()


def swap_lock(world: World) -> None:
    world.lock.write_text(world.texts["two"].replace("filelock", "filelook"), encoding="utf-8")


@pytest.mark.parametrize(
    ("do", "run", "seen"),
    [
        (spoil, Run(code=1, out="", err="error: x"), "LOST: it was changed"),
        (lambda world: None, Run(code=0, out="", err=""), "ended 0, and should not have"),
        (leave, Run(code=1, out="", err="error: x"), "left or foreign: ~/left"),
        (swap_lock, Run(code=1, out="", err="error: x"), "the lock was changed by a command that ended 1"),
        (lambda world: None, Run(code=70, out="", err="error: x"), "a traceback or exit 70"),
        (lambda world: None, Run(code=TIMED_OUT, out="", err=""), "not ended after 120 s"),
        (lambda world: None, Run(code=2, out="", err="oh"), "no error was said"),
    ],
)
def test_the_judge_sees_it(do: Callable[[World], None], run: Run, seen: str, world: World) -> None:
    """The judge of this table can say no."""

    def drive(world: World) -> Run:
        do(world)
        return run

    assert seen in judge(Case(group="judge", fault="any", stage="any", drive=drive), world).wrong
