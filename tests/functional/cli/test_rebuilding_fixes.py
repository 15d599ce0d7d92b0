"""Fixes that build again: what was put into an environment goes, and a machine that changed gets what runs on it.

The small torch of these tests cannot train, so `--no-verify` is added to a fix that builds; all else is run as shown.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person
from support.fake_nvml import FakeGpu, FakeMachine
from support.index_server import IndexServer
from support.nights import TAG
from support.wheels import build_wheel, torch_wheel

ENV = "the env"
PROFILE = 'description = "the team\'s"\naccelerator = "auto"\nchannel = "stable"\npackages = ["torch", "torchvision"]\n'
MINE = ("files", "origin", "drift", "packages", "family", "torch", "environment", "GPU 0", "driver", "extensions")
HOPPER = FakeGpu(name="NVIDIA H200", capability=(9, 0))


@dataclass(frozen=True)
class Team:
    """Somebody with an environment of torch for an H200, and an index on loopback; copied for each test."""

    person: Person
    libraries: Path

    def on(self, machine: FakeMachine | None) -> Person:
        """The same person at another machine; ``None``: one without a GPU."""
        words = {} if machine is None else machine.environ(self.libraries / machine.driver)
        words = {name: value for name, value in words.items() if name != "PATH"}
        return replace(self.person, environ={**self.person.environ, **words})

    def copied(self, folder: Path) -> Team:
        project = shutil.copytree(self.person.project, folder / "project", symlinks=True)
        return replace(self, person=replace(self.person, project=project))


def machine(*capability: int, driver: str = "580.95.05", cuda: int = 13000) -> FakeMachine:
    gpu = FakeGpu(name="NVIDIA Card", capability=(capability[0], capability[1])) if capability else HOPPER
    return FakeMachine(gpus=(gpu,), driver=driver, cuda=cuda, libcuda=driver)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    person = Person.at(folder)
    person.write("profiles/team.toml", PROFILE)
    with IndexServer() as index:
        for variant, archs, ptx in (
            ("cpu", (), ()),
            ("cu128", ("sm_70", "sm_80", "sm_90"), ("compute_90",)),
            ("cu130", ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120"), ()),
        ):
            needs = ("filelock", "triton==3.6.0")
            index.add(torch_wheel("2.10.0", variant, archs=archs, ptx=ptx, tag=TAG, requires=needs), folder=variant)
            vision = build_wheel("torchvision", f"0.25.0+{variant}", tag=TAG, requires=["torch==2.10.0"])
            index.add(vision, folder=variant)
            index.add(build_wheel("triton", "3.6.0", tag=TAG), folder=variant)
        index.add_package(build_wheel("filelock", "3.19.0", files={"filelock/data.txt": "of filelock"}))
        environ = {
            "GPUENV_TORCH_INDEX": index.torch_index,
            "GPUENV_INDEX": index.default_index,
            "UV_DEFAULT_INDEX": index.default_index,
            "UV_CACHE_DIR": str(person.home / "uv"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        team = Team(Person(home=person.home, project=person.project, environ=environ), folder / "driver")
        run = team.on(machine()).run("create", "--no-verify", "--profile", "team", ENV)
        assert run.code == 0, run.err
        yield team


@pytest.fixture
def team(built: Team, tmp_path: Path) -> Team:
    return built.copied(tmp_path)


def shell(person: Person, command: str) -> None:
    world = person.world()
    world["PATH"] = os.pathsep.join([str(find_uv(os.environ).path.parent), world["PATH"]])
    done = subprocess.run(
        ["bash", "-ec", command], cwd=person.project, env=world, capture_output=True, text=True, timeout=120,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, (command, done.stderr)


def wrong(person: Person, environment: str = ENV) -> dict[str, Any]:
    """What the doctor finds wrong with an environment, by kind."""
    rows = person.run("doctor", environment, "--json").json["data"]["findings"]
    return {each["kind"]: each for each in rows if each["severity"] != "ok" and each["subject"] in MINE}


def in_backticks(fix: str) -> str:
    return fix.split("`")[1] if "`" in fix else fix


@pytest.mark.parametrize(
    ("kind", "moved_to", "target"),
    [
        ("no-code", machine(7, 0), ENV),
        ("driver-too-old", machine(driver="570.124.06", cuda=12080), ENV),
        ("torch-for-a-gpu", None, ".venv-gpu"),
    ],
)
def test_a_machine_that_changed_gets_its_environment_by_the_fix(
    team: Team, kind: str, moved_to: FakeMachine | None, target: str
) -> None:
    assert wrong(team.on(machine())) == {}
    person = team.on(moved_to)
    found = wrong(person)

    assert set(found) == {kind}
    assert found[kind]["by"] is None
    shell(person, found[kind]["fix"].replace("gpuenv create", "gpuenv create --no-verify"))
    assert wrong(person, target) == {}


def test_a_cpu_build_where_a_gpu_appeared_and_ptx_where_there_is_code(team: Team) -> None:
    """The first two kinds of "torch-for-cpu" and "ptx-only": one person moves from machine to machine."""
    person = team.on(None)
    assert person.run("create", "--no-verify", "--profile", "auto", "moved").code == 0
    assert wrong(person, "moved") == {}

    for kind, moved_to in (
        ("torch-for-cpu", machine(9, 0, driver="570.124.06", cuda=12080)),
        ("ptx-only", machine(12, 0)),
    ):
        person = team.on(moved_to)
        found = wrong(person, "moved")
        assert set(found) == {kind}
        shell(person, in_backticks(found[kind]["fix"]).replace("gpuenv create", "gpuenv create --no-verify"))
        assert wrong(person, "moved") == {}


def strange_packages(folder: Path) -> None:
    """Wheels of other builds, as people put them into an environment."""
    for wheel in (
        torch_wheel("2.9.1", "cu126", archs=("sm_90",), tag=TAG, requires=("triton==3.6.0",)),
        build_wheel("torchvision", "0.24.1+cu129", tag=TAG),
        build_wheel("torch-scatter", "2.1.2+pt24cu121", tag=TAG),
        build_wheel("vllm", "0.9.2", tag=TAG, requires=["torch==2.7.0"]),
        build_wheel("nvidia-cudnn-cu13", "9.15.0.57"),
        build_wheel("triton", "3.5.1", tag=TAG),
        build_wheel("pytorch-triton", "3.4.0", tag=TAG),
        build_wheel("other", "1.0", files={"filelock/data.txt": "of the other, longer"}),
        build_wheel("elsewhere", "1.0"),
        build_wheel("half", "1.0"),
    ):
        wheel.write(folder)


def change(person: Person, name: str) -> set[str]:
    """Put something wrong into the environment; what is found of it, by kind."""
    environment = person.project / ENV
    site = next(environment.glob("lib/python3.*/site-packages"))
    if name == "others":
        strange_packages(person.project / "wheels")
        shell(person, f"uv pip install --no-deps --no-index --python '{ENV}' wheels/*.whl")
        tag = next(site.glob("elsewhere-*.dist-info")) / "WHEEL"
        tag.unlink()
        tag.write_text("Wheel-Version: 1.0\nTag: cp39-cp39-win_amd64\n")
        (next(site.glob("half-*.dist-info")) / "INSTALLER").unlink()
        lock = person.project / "lockfiles/pylock.team.toml"
        lock.write_text(lock.read_text() + "# seen\n")
        return {
            "family-drifted", "packages-drifted", "companion-of-another-build", "extension-of-another-torch",
            "family-requirement", "compiler-requirement", "libraries-left-over", "two-compilers", "data-overwritten",
            "does-not-fit", "broken", "lock-moved-on",
        }  # fmt: skip
    if name == "gone":
        shell(person, f"uv pip uninstall --python '{ENV}' torch")
        return {"torch-missing", "family-drifted"}
    version = site / "torch/version.py"
    version.unlink()
    version.write_text("__version__ = '2.10.0+rocm6.4'\ncuda = None\nhip = '6.4'\n")
    return {"torch-for-amd", "code-changed"}


@pytest.mark.parametrize("name", ["others", "gone", "amd"])
def test_what_was_put_into_an_environment_goes_by_its_fix(team: Team, name: str) -> None:
    person = team.on(machine())
    kinds = change(person, name)
    found = wrong(person)

    assert kinds <= set(found), set(found)
    fixes = {each["fix"] for each in found.values()}
    assert fixes <= {f"gpuenv create --profile team '{ENV}'", f"gpuenv create --profile team '{ENV}' --discard-added"}
    shell(person, max(fixes, key=len).replace("gpuenv create", "gpuenv create --no-verify"))
    assert wrong(person) == {}
