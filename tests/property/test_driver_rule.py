"""One rule says whether a driver reaches a floor: decision, profile, lock and doctor agree for every driver."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuenv import knowledge
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import Examination, examine
from gpuenv.installed.environment import read_environment
from gpuenv.knowledge import files
from gpuenv.knowledge.rules import compare_versions
from gpuenv.lock.fit import fits_machine
from gpuenv.model.machine import Machine
from gpuenv.select.prepare import prepare
from gpuenv.select.request import fits
from gpuenv.select.rules import check_driver
from support.choosing import machine, profile, request
from support.environments import Environment
from support.locks import decided, lock_of, package

TABLES = knowledge.load()
VARIANTS = [row["variant"] for row in files.read("drivers")["variants"]]


def drivers(variant: str) -> list[str]:
    """Every driver of the tables, each branch as people and Jetsons write it, and the floor with its neighbours."""
    table = files.read("drivers")
    known = {row[os] for row in table["toolkits"] for os in ("linux", "windows") if os in row}
    branches = {row["branch"] for row in table["branches"]}
    floors = {floor.minimum for os in ("linux", "windows") if (floor := TABLES.driver_floor(variant, os))}
    near = {f"{each}.1" for each in floors} | {each.rpartition(".")[0] + ".0" for each in floors}
    return sorted(known | branches | {f"{each}.00" for each in branches} | floors | near)


@pytest.fixture(scope="module")
def examinations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Examination]:
    found = {}
    for variant in VARIANTS:
        env = Environment(tmp_path_factory.mktemp(variant) / "env")
        env.torch("2.10.0", cuda=TABLES.cuda_of(variant), archs=["90", "110"])
        found[variant] = examine(read_environment(env.path), environ={})
    return found


def says_doctor(examination: Examination, on: Machine) -> bool:
    findings = diagnose_environment(replace(examination, machine=on), knowledge=TABLES)
    return not any("too old" in finding.summary for finding in findings)


def says_lock(variant: str, least: str, on: Machine) -> bool:
    locked = decided(variant=variant, least_driver=least, sass=("sm_90", "sm_110"))
    lock = lock_of(package("torch", "2.10.0", family=True), decision=locked)
    lock = replace(
        lock, inputs=replace(lock.inputs, target=replace(lock.inputs.target, os=on.os, arch=on.arch, libc=on.libc))
    )
    mismatch = fits_machine(lock, on, TABLES)
    return mismatch is None or mismatch.what != "driver"


MACHINES = [
    machine("9.0"),
    machine("9.0", wsl=True),
    machine("9.0", os="windows"),
    machine("11.0", arch="aarch64", names=["NVIDIA Thor"]),
]


@pytest.mark.parametrize("base", MACHINES, ids=["card", "wsl", "windows", "thor"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_all_who_ask_are_told_the_same(variant: str, base: Machine, examinations: dict[str, Examination]) -> None:
    floor = TABLES.driver_floor(variant, base.driver_os)
    assert floor is not None
    assert base.driver is not None
    for version in drivers(variant):
        on = replace(base, driver=replace(base.driver, version=version, cuda=None))
        case = prepare(on, profile(), request(), TABLES)
        answers = {
            "decision": check_driver(case, variant).refusal is None,
            "profile": fits(profile(least_driver=floor.minimum), on, request(), TABLES) is None,
            "lock": says_lock(variant, floor.minimum, on),
            "doctor": says_doctor(examinations[variant], on),
        }
        by_number = compare_versions(version, floor.minimum) >= 0
        same_branch = version.partition(".")[0] == floor.minimum.partition(".")[0]
        branch_alone = "." not in version or base.arch == "aarch64"
        expected = by_number or (branch_alone and same_branch)
        assert set(answers.values()) == {expected}, (version, floor.minimum, answers)


@pytest.mark.parametrize("made_on", MACHINES[:2], ids=["linux", "wsl"])
@pytest.mark.parametrize("used_on", MACHINES[:2], ids=["linux", "wsl"])
def test_a_lock_for_linux_is_judged_by_the_numbers_of_the_driver_it_meets(made_on: Machine, used_on: Machine) -> None:
    """Inside WSL a driver is numbered as Windows drivers are; the target of both locks is Linux."""
    least = TABLES.driver_floor("cu128", made_on.driver_os)
    floor = TABLES.driver_floor("cu128", used_on.driver_os)
    assert least is not None
    assert floor is not None
    assert used_on.driver is not None
    at_the_floor = replace(used_on, driver=replace(used_on.driver, version=floor.minimum))
    below = replace(used_on, driver=replace(used_on.driver, version=floor.minimum.partition(".")[0] + ".1"))
    assert says_lock("cu128", least.minimum, at_the_floor)
    assert not says_lock("cu128", least.minimum, below)
