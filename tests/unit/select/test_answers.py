"""The matrix page: its answers are the decision's, whatever was shared or left out to get them sooner."""

from __future__ import annotations

import json
import random
import re
from functools import cache

import pytest
from packaging.version import Version

from gpuenv.knowledge import load
from gpuenv.knowledge.names import platform_of_filename
from gpuenv.knowledge.rules import compare_versions
from gpuenv.model.decision import Decision, NoDecision
from gpuenv.model.machine import ComputeCapability, Driver
from gpuenv.model.wheel import Catalog
from gpuenv.select import answers
from gpuenv.select.answers import CUDA, DRIVER, SYSTEMS, MachineAnswer, MachineAnswers, System, answer_all
from gpuenv.select.answers_page import page
from gpuenv.select.decide import decide
from gpuenv.select.request import Request
from support.recorded import recording

TABLES = load()
DAY = "2026-05-19"
#: Before Maxwell, without tensor cores, the usual, served by code of a lower minor, new.
CAPABILITIES = tuple(map(ComputeCapability.parse, ("3.7", "6.1", "8.6", "12.1")))


@cache
def made() -> MachineAnswers:
    return answer_all(TABLES, CAPABILITIES)


def answer(system: System, capability: ComputeCapability, python: str, driver: str) -> MachineAnswer:
    """What the page shows for a driver, found as its script does."""
    at = SYSTEMS.index(system)
    reached = [place for place, step in enumerate(made().steps[at]) if compare_versions(driver, step) >= 0]
    runs = made().runs[at][made().capabilities.index(capability)][made().pythons.index(python)]
    return made().answers[[place for start, place in runs if start <= max(reached, default=0)][-1]]


def some_driver(chosen: random.Random, system: System) -> str:
    branch = int(chosen.choice(made().steps[SYSTEMS.index(system)]).partition(".")[0]) + chosen.choice((0, 0, 1, 3))
    return chosen.choice(
        (f"{branch}.{chosen.randrange(200)}", f"{branch}.{chosen.randrange(150)}.0{chosen.randrange(9)}")
    )


@pytest.mark.parametrize("seed", range(150))
def test_an_answer_is_the_decision_on_all_that_the_tables_know(seed: int) -> None:
    chosen = random.Random(seed)
    system, capability = chosen.choice(SYSTEMS), chosen.choice(CAPABILITIES)
    python, driver = chosen.choice(made().pythons), some_driver(chosen, system)
    cuda = TABLES.driver_cuda(driver, system.driver_os)
    shown = answer(system, capability, python, driver)
    builds = answers._CardQuery(knowledge=TABLES)._builds(system, python, None)
    catalog = Catalog(wheels=tuple(answers._wheel(TABLES, system, python, build) for build in builds))
    machine = answers.machine_of(system, capability, Driver(version=driver, cuda=cuda, source="as given"))
    found = decide(machine, answers._PROFILE, catalog, {}, Request(pythons=(python,), nightly_offered=True), TABLES)
    put = [text.replace(DRIVER, driver).replace(CUDA, str(cuda)) for text in (*shown.because, *shown.warnings)]
    match found:
        case Decision(packages=(torch, *_), gpus=(served, *_)):
            assert (torch.version, served.by) == (f"{shown.torch}+{shown.variant}", shown.by)
            assert set(put) <= {*found.because, *found.warnings}
            assert len(found.warnings) == len(shown.warnings)
        case NoDecision(summary=summary, causes=causes):
            assert not shown.torch
            assert put == [summary, *causes]
        case _:
            pytest.fail(f"{driver}: {found}")


def test_the_driver_of_the_first_evening_gets_the_stable_wheel_that_came_after_it() -> None:
    on_windows = answer(SYSTEMS[1], ComputeCapability(12, 1), "3.12", "576.88")
    assert (on_windows.variant, on_windows.native) == ("cu128", True)
    assert any(f"driver {DRIVER} (as given), which knows CUDA {CUDA}" in text for text in on_windows.because)


def test_nothing_of_the_marks_is_left_in_a_sentence() -> None:
    texts = [text for each in made().answers for text in (*each.because, *each.warnings, *each.hints)]
    assert not [text for text in texts if answers._MARK.strip(".") in text]


def test_the_page_asks_nothing_of_the_network_and_every_name_has_its_answer() -> None:
    text = page(TABLES, made())
    assert text.isascii()
    assert not re.search(r"""(?:src|href)=|url\(|@import|fetch\(|XMLHttp""", text)
    assert not re.search(r"@[A-Z]+@", text)
    assert text.count("</script>") == 2
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert {name for name, _ in data["gpus"]} >= {gpu.name for gpu in TABLES.gpus}
    assert all(place < len(data["answers"]) for one in data["runs"] for two in one for runs in two for _, place in runs)
    assert data["systems"][1]["steps"] == list(TABLES.driver_steps("windows"))


def test_the_folder_that_pip_is_sent_to_has_the_build() -> None:
    """``pip install torch==X --index-url BASE/VARIANT``, by recorded pages; some leave out the local part."""
    rows = [row.key.split("/") for row in recording().on(DAY, projects=["torch"]) if row.channel == "stable"]
    there = set()
    for folder, name in (row for row in rows if len(row) == 2):
        _, version, *_, tag, _, _ = name.split("-")
        if version.partition("+")[2] in ("", folder):
            there.add((folder, version.partition("+")[0], tag, platform_of_filename(name)))
    newest = max((Version(version) for _, version, _, _ in there))
    offered = {
        (each.variant, each.torch, f"cp{python.replace('.', '')}", system.platform)
        for system, capabilities in zip(SYSTEMS, made().runs, strict=True)
        for pythons in capabilities
        for python, runs in zip(made().pythons, pythons, strict=True)
        for each in (made().answers[place] for _, place in runs)
        if each.torch and Version(each.torch) <= newest
    }
    assert len(offered) > 20
    assert offered <= there
