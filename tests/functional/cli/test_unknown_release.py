"""A release, a variant, a driver and a companion that no table knows: the page of the day and the wheels are enough."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

PROFILE = 'description = "t"\npackages = ["torch", "torchvision", "frobnicate"]\noptional-packages = ["torchaudio"]\n'


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        for variant, archs in {"cu990": ("sm_90", "sm_120"), "cu980": ("sm_90",)}.items():
            requires = ["filelock", "triton==7.0.0"]
            server.add(torch_wheel("9.9.0", variant, tag=TAG, archs=archs, requires=requires), folder=variant)
            for name, version in (("torchvision", "0.99.0"), ("torchaudio", "9.9.0")):
                wheel = build_wheel(name, f"{version}+{variant}", tag=TAG, requires=["torch==9.9.0"])
                server.add(wheel, folder=variant)
        server.add(torch_wheel("2.10.0", "cu128", tag=TAG, requires=["filelock"]), folder="cu128")
        server.add(build_wheel("triton", "7.0.0", tag=TAG), folder="")
        server.add_package(build_wheel("filelock", "3.0"))
        server.add_package(build_wheel("frobnicate", "1.0", tag=TAG, requires=["torch==9.9.0"]))
        server.add_package(build_wheel("frobnicate", "2.0", tag=TAG, requires=["torch==10.0.0"]))
        yield server


def test_it_is_decided_locked_and_built_by_what_its_wheels_say(tmp_path: Path, index: IndexServer) -> None:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0", driver="999.10", cuda="99.0"))
    person.write("profiles/team.toml", PROFILE)
    words = ("--profile", "team", "--machine", "machine.json", "--python", PYTHON)
    where = ("--torch-index", index.torch_index, "--index", index.default_index)

    decided = person.run("resolve", "--json", *words, *where)
    assert decided.code == 0, decided.err
    data = decided.json["data"]
    assert [(each["name"], each["version"]) for each in data["packages"]] == [
        ("torch", "9.9.0+cu990"),
        ("torchaudio", "9.9.0+cu990"),
        ("torchvision", "0.99.0+cu990"),
    ]
    assert (data["kernels"]["sass"], data["kernels"]["from"]) == (["sm_90", "sm_120"], "wheel")
    assert [(gpu["support"], gpu["by"]) for gpu in data["gpus"]] == [("native", "sm_120")]
    assert "(read from the wheel)" in data["because"][0]
    assert "driver 999.10 (NVML) says itself that it knows CUDA 99.0" in data["because"][1]

    built = person.run("create", "--no-verify", *words, *where)
    assert built.code == 0, built.err
    assert "frobnicate 1.0 is chosen, not 2.0, the newest: it requires torch==10.0.0" in built.err
    lock = tomllib.loads((person.project / "lockfiles/pylock.team.toml").read_text("utf-8"))
    assert {each["name"]: each["version"] for each in lock["packages"]} == {
        "filelock": "3.0", "frobnicate": "1.0", "torch": "9.9.0+cu990", "torchaudio": "9.9.0+cu990",
        "torchvision": "0.99.0+cu990", "triton": "7.0.0",
    }  # fmt: skip

    # The lock is for drivers that are known to run it: this one and newer ones.
    assert lock["tool"]["gpuenv"]["decision"]["least-driver"] == "999.10"
    checked = person.run("check", "lockfiles/pylock.team.toml", "--machine", "machine.json")
    assert checked.code == 0, checked.err
    person.write("older.json", machine_json("12.0", driver="998.1", cuda="98.0"))
    older = person.run("create", "--no-verify", "--profile", "team", "--machine", "older.json", *where)
    assert older.code == 3
    assert "cu990 needs driver 999.10 or newer, this has 998.1" in older.err


def test_a_driver_that_does_not_know_the_variant_is_given_the_one_it_runs(tmp_path: Path, index: IndexServer) -> None:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0", driver="610.10", cuda="13.3"))
    run = person.run(
        "resolve", "--with", "torch", "--no-project", "--json", "--machine", "machine.json", "--python", PYTHON,
        "--torch-index", index.torch_index, "--index", index.default_index,
    )  # fmt: skip
    assert run.code == 0, run.err
    assert run.json["data"]["packages"][0]["version"] == "2.10.0+cu128"
    refused = {row["candidate"]: row for row in run.json["data"]["rejected"]}
    assert refused["torch 9.9.0+cu990"]["reason"] == "driver"
    assert "CUDA 99.0" in refused["torch 9.9.0+cu990"]["detail"]


def test_a_companion_that_only_the_source_of_torch_lists_is_taken_once_it_is_named(
    tmp_path: Path, index: IndexServer
) -> None:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0", driver="999.10", cuda="99.0"))
    person.write("profiles/team.toml", PROFILE.replace("frobnicate", "zaxify"))
    index.add(build_wheel("zaxify", "1.0+cu990", tag=TAG, requires=["torch==9.9.0"]), folder="cu990")
    words = ("lock", "--profile", "team", "--machine", "machine.json", "--python", PYTHON)
    where = ("--torch-index", index.torch_index, "--index", index.default_index)
    refused = person.run(*words, *where)
    assert refused.code == 6
    assert "zaxify is not on the package index that was asked" in refused.err
    hint = re.search(r"The source of torch lists it for cu990: add `(--find-links \S+)`", refused.err)
    assert hint is not None, refused.err
    done = person.run(*words, *where, *hint[1].split())
    assert done.code == 0, done.err
    lock = tomllib.loads((person.project / "lockfiles/pylock.team.toml").read_text("utf-8"))
    assert {each["name"]: each["version"] for each in lock["packages"]}["zaxify"] == "1.0+cu990"
