"""Every recorded case of tests/data/doctor-cases.toml: what people had is laid down, and what is wrong is found.

Exactly the kinds that stand in the case may come: a control case has none, and no case an alarm beside the point.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gpuenv import knowledge
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import examine
from gpuenv.doctor.finding import Finding
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.doctor.session import diagnose_session
from gpuenv.installed.environment import read_environment
from gpuenv.machine.detection import Detection
from support.choosing import machine
from support.environments import Environment
from support.fatbins import image, library

ROOT = Path(__file__).resolve().parents[3]
CASES: dict[str, dict[str, Any]] = {
    case["id"]: case for case in tomllib.loads((ROOT / "tests/data/doctor-cases.toml").read_text("utf-8"))["case"]
}
STAGED = [name for name, case in CASES.items() if "finds" in case]
ELSEWHERE = [name for name, case in CASES.items() if "tests" in case]
KNOWN = knowledge.load()


def lay_torch(env: Environment, told: dict[str, Any]) -> None:
    env.torch(
        told["torch"],
        cuda=told.get("cuda"),
        archs=told.get("sass", "").split(),
        ptx=told.get("ptx", "").split(),
        hip=told.get("hip"),
        requires=told.get("requires", ()),
        cxx11_abi=told.get("cxx11_abi"),
        installer=told.get("installer", "uv"),
    )


def lay_environment(folder: Path, case: dict[str, Any]) -> Environment:
    env = Environment(folder / ".venv")
    lay_torch(env, case)
    for each in case.get("packages", ()):
        env.install(each["name"], each["version"], requires=each.get("requires", ()))
        if "origin" in each:
            env.came_from(each["name"], each["origin"])
    for each in case.get("extensions", ()):
        images = [image("sass", int(code)) for code in each.get("sass", "").split()]
        images += [image("ptx", int(code)) for code in each.get("ptx", "").split()]
        env.install(each["name"], each["version"], files={f"{each['name']}.so": library([images])})
    if case.get("headers") is False:
        (env.base / "include/python3.12/Python.h").unlink()
    if "built" in case:
        env.marked(profile=case["built"])
    if "replaced" in case:
        lay_torch(env.without("torch"), case["replaced"])
    return env.of_conda() if case.get("conda") else env


def session(folder: Path, case: dict[str, Any]) -> dict[str, str]:
    environ = {"CC": sys.executable, **case.get("environ", {})}
    for number, (variable, names) in enumerate(case.get("libraries", {}).items()):
        there = folder / f"libraries-{number}"
        there.mkdir()
        for name in names:
            (there / name).touch()
        environ[variable] = str(there)
    if "toolkit" in case:
        (folder / "version.json").write_text(json.dumps({"cuda": {"version": case["toolkit"]}}))
        environ["CUDA_HOME"] = str(folder)
    return environ


def found(folder: Path, case: dict[str, Any]) -> list[Finding]:
    """What the doctor says above ok of machine, session and environment."""
    told = {key: case[key] for key in ("driver", "os", "arch", "wsl") if key in case}
    on = machine(*case["capabilities"], **({"driver": None} | told))
    environ = session(folder, case)
    facts = read_environment(lay_environment(folder, case).path)
    findings = [
        *diagnose_machine(Detection(machine=on), knowledge=KNOWN),
        *diagnose_session(environ),
        *diagnose_environment(examine(facts, environ=environ, machine=on, shown=".venv"), knowledge=KNOWN),
    ]
    return [each for each in findings if each.severity != "ok"]


@pytest.mark.parametrize("name", STAGED)
def test_a_case_is_found_and_nothing_beside_it(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    if os.name == "nt" and "libraries" in case:
        pytest.skip("LD_LIBRARY_PATH is Linux's: its colon would divide a drive from its folder")
    findings = found(tmp_path, case)

    assert {each.kind for each in findings} == set(case["finds"]), findings
    assert all(each.fix for each in findings)


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_test_that_a_case_names_stands_there(name: str) -> None:
    for test in CASES[name]["tests"]:
        path, _, function = test.partition("::")
        assert (ROOT / path).is_file(), test
        assert not function or re.search(rf"^def {function}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE), test


def test_a_scenario_that_a_case_names_stands_there() -> None:
    there = {path.stem.removeprefix("case-") for path in (ROOT / "tests/scenarios").glob("case-*.toml")}

    assert {name for name, case in CASES.items() if case.get("scenario")} == there & CASES.keys()


def test_each_case_has_one_answer_and_nine_of_ten_are_tests() -> None:
    answers = ("finds", "tests", "why", "missed")
    assert all(sum(key in case for key in answers) == 1 for case in CASES.values())
    can_be_staged = [name for name, case in CASES.items() if "why" not in case]

    assert len(CASES) == 116, "tests/data/doctor-cases.toml holds every recorded case"
    assert len(can_be_staged) >= 110
    assert len([*STAGED, *ELSEWHERE]) >= 0.9 * len(can_be_staged)


def test_the_page_is_the_present_one() -> None:
    made = runpy.run_path(str(ROOT / "tools/make_cases.py"))["page"]()

    assert (ROOT / "docs/doctor/cases.md").read_text("utf-8") == made, "run make docs"
