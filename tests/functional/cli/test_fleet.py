"""A fleet from one desk: three hosts that are folders of this machine, by Ansible's local connection."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.cli import Person, know_interpreters
from support.detection import INIT
from support.fake_nvml import H200, FakeMachine
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

pytest.importorskip("ansible_runner", reason="the extra gpuenv[fleet] is not installed")

pytestmark = pytest.mark.xdist_group("fleet")  # the hosts are made and built on once

SECRET = "hush-hush-9"
MACHINES = {
    "gpu1": FakeMachine(gpus=(H200,), driver="580.65.06", cuda=13000),
    "gpu2": FakeMachine(driver="570.124.06"),
    "gpu3": FakeMachine(driver="570.124.06", faults={INIT: 999}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A person at a desk, and the folder that holds the hosts."""

    person: Person
    hosts: Path

    def report(self) -> Any:  # Any: what the test is about
        return json.loads((self.person.project / "fleet/report.json").read_text("utf-8"))

    def verdicts(self) -> dict[str, str]:
        return {host["name"]: host["verdict"] for host in self.report()["hosts"]}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    lines = ["[all]"]
    for name, machine in MACHINES.items():
        world = machine.environ(folder / name / "lib")
        shell = folder / name / "shell"
        words = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in world.items() if key != "PATH")
        shell.write_text(f'#!/bin/sh\n{words}exec /bin/sh "$@"\n')
        shell.chmod(0o755)
        know_interpreters(folder / name / "gpuenv/cache/uv")
        lines.append(
            f"{name} ansible_connection=local ansible_shell_executable={shell} gpuenv_home={folder / name}/gpuenv "
            f"ansible_password={SECRET}"
        )
    with IndexServer() as index:
        for variant in ("cu128", "cu130"):
            index.add(torch_wheel("2.10.0", variant, tag=TAG), folder=variant)
        index.add_package(build_wheel("six", "1.0"))
        person = Person.at(
            folder / "desk",
            GPUENV_TORCH_INDEX=index.torch_index,
            GPUENV_INDEX=index.default_index,
            GPUENV_PYTHON=PYTHON,
        )
        person.write("profiles/team.toml", 'description = "t"\npackages = ["torch", "six"]\n')
        person.write("hosts.ini", "\n".join(lines) + "\n")
        yield Fleet(person=person, hosts=folder)


@pytest.fixture(scope="module")
def rolled_out(fleet: Fleet) -> tuple[int, str]:
    """The first roll-out: whichever test comes first, with whichever worker."""
    return create(fleet)


def create(fleet: Fleet, *more: str) -> tuple[int, str]:
    words = ("fleet", "create", "-i", "hosts.ini", "--profile", "team", "--no-verify", *more)
    run = fleet.person.run(*words, timeout=1200, ANSIBLE_LOCAL_TEMP=str(fleet.hosts / "tmp"))
    return run.code, run.out + run.err


def test_from_an_inventory_to_a_report(fleet: Fleet, rolled_out: tuple[int, str]) -> None:
    code, said = rolled_out
    assert code == 1, said
    assert fleet.verdicts() == {"gpu1": "built", "gpu2": "built", "gpu3": "failed"}, said
    report = fleet.report()
    assert [(each["hosts"], each["lock"]["variant"]) for each in report["classes"]] == [
        (["gpu2"], "cu128"), (["gpu1"], "cu130"),
    ]  # fmt: skip
    assert report["hosts"][0]["name"] == "gpu3"
    assert "gpu3" in said
    for name in ("gpu1", "gpu2"):
        (site,) = (fleet.hosts / name / "gpuenv/.venv-gpu").glob("lib/python*/site-packages")
        assert {each.name.split("-")[0] for each in site.glob("*.dist-info")} == {"torch", "six"}
        assert (fleet.hosts / name / "gpuenv/facts.d/gpuenv.fact").is_file()
    assert not (fleet.hosts / "gpu3/gpuenv/.venv-gpu").exists()


@pytest.mark.usefixtures("rolled_out")
def test_what_is_done_is_not_done_again(fleet: Fleet) -> None:
    before = {name: (fleet.hosts / name / "gpuenv/.venv-gpu").stat().st_ino for name in ("gpu1", "gpu2")}
    (fleet.person.project / "fleet/hosts/gpu2/built.json").unlink()
    code, said = create(fleet)
    assert code == 1, said
    assert "1 done before, 0 to do" in said
    assert "gpu2: up to date" in said
    assert {name: (fleet.hosts / name / "gpuenv/.venv-gpu").stat().st_ino for name in before} == before


@pytest.mark.usefixtures("rolled_out")
def test_no_secret_of_the_inventory_is_kept(fleet: Fleet) -> None:
    files = [path for path in fleet.person.project.rglob("*") if path.is_file() and path.name != "hosts.ini"]
    assert len(files) > 10
    homes = [path for name in MACHINES for path in (fleet.hosts / name).rglob("*.json") if path.is_file()]
    assert not [path for path in (*files, *homes) if SECRET.encode() in path.read_bytes()]


@pytest.mark.usefixtures("rolled_out")
def test_the_last_proof_of_a_host_is_its_evidence(fleet: Fleet) -> None:
    """A wheel of the tests has no torch in it: its proof fails, and the report is of that one."""
    words = ("fleet", "verify", "-i", "hosts.ini", "--profile", "team", "--limit", "gpu2", "--no-health")
    run = fleet.person.run(*words, timeout=1200, ANSIBLE_LOCAL_TEMP=str(fleet.hosts / "tmp"))
    assert (run.code, fleet.verdicts()["gpu2"]) == (1, "failed"), run.err
    evidence = json.loads((fleet.person.project / "fleet/hosts/gpu2/evidence/evidence.json").read_text("utf-8"))
    assert evidence["verdict"] == "failed"
