"""Machines that are not this one: what a user sends, a login node, names that hold control characters."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.cli import Person, machine_json
from support.detection import smi
from support.fake_nvml import FakeGpu, FakeMachine
from support.index_server import IndexServer
from support.wheels import torch_wheel

HOSTILE = "NVIDIA \x1b[2J\x1b[31mRTX\u202e"


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.at(tmp_path)


def failed(message: str, hint: str) -> str:
    """What `gpuenv detect --json` prints on a machine whose driver does not work."""
    data = {"os": "linux", "arch": "x86_64", "libc": "glibc 2.39", "wsl": False, "container": False}
    return json.dumps(
        {
            "schema": {"name": "gpuenv", "version": "1"},
            "command": "detect",
            "status": "error",
            "exit_code": 3,
            "data": {**data, "driver": None, "gpus": []},
            "errors": [{"code": "driver-broken", "message": message, "causes": ["NVML 18"], "hints": [hint]}],
        }
    )


def test_doctor_judges_the_machine_in_a_file(person: Person) -> None:
    person.write("machine.json", machine_json("9.0", driver="580.95.05", cuda=None))
    run = person.run("doctor", "--machine", "machine.json", CUDA_VISIBLE_DEVICES="", PYTHONPATH="/nowhere")

    assert run.code == 0, run.err
    assert "driver: NVIDIA driver 580.95.05, knows CUDA 13.0" in run.out
    assert "environment:" not in run.out, "this session is not that machine's"


def test_doctor_judges_what_a_broken_machine_printed(person: Person) -> None:
    person.write("machine.json", failed("the kernel module and its library differ", "Reboot: `sudo reboot`"))
    run = person.run("doctor", "--machine", "machine.json", "--json")

    assert run.code == 1
    (finding,) = [each for each in run.json["data"]["findings"] if each["severity"] != "ok"]
    assert finding["summary"] == "the kernel module and its library differ"
    assert (finding["fix"], finding["by"]) == ("sudo reboot", "yourself")


def test_a_decision_is_not_made_for_a_broken_machine(person: Person) -> None:
    person.write("machine.json", failed("it is broken", "Reboot: `sudo reboot`"))

    assert person.run("resolve", "--machine", "machine.json").code == 2


def test_a_login_node_leads_to_a_compute_node(person: Person, tmp_path: Path) -> None:
    smi(tmp_path / "bin", "exit 1")
    (tmp_path / "bin/nvidia-smi").rename(tmp_path / "bin/srun")
    run = person.run("create", "--profile", "hopper", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    assert run.code == 3
    hints = [line for line in run.err.splitlines() if line.startswith("hint: ")]
    assert "in a Slurm job with a GPU: `srun --gres=gpu:1 gpuenv detect --json > machine.json`" in hints[0]
    assert "`gpuenv create --profile hopper --machine machine.json --no-verify`" in hints[1]
    assert "`srun --gres=gpu:1 gpuenv verify`" in hints[2]


def test_a_machine_without_a_scheduler_names_none(person: Person, tmp_path: Path) -> None:
    run = person.run("create", "--profile", "hopper", PATH=str(tmp_path))  # whatever this machine has

    assert run.code == 3
    assert "on the machine with the GPU: `gpuenv detect --json > machine.json`" in run.err
    assert "srun" not in run.err


@pytest.mark.parametrize("command", ["detect", "doctor", "resolve"])
def test_a_mac_in_a_file_gets_a_cpu_environment_and_a_word_about_mps(person: Person, command: str) -> None:
    person.write("mac.json", machine_json(driver=None, os="macos", arch="arm64"))
    with IndexServer() as server:
        server.add(torch_wheel("9.1.0", None, tag="cp312-none-macosx_11_0_arm64"))
        words = ("--torch-index", server.torch_index) if command == "resolve" else ()
        run = person.run(command, "--machine", "mac.json", *words)

    assert run.code == 0, run.err
    assert "does not try mps" in run.out + run.err
    if command == "resolve":
        assert "this is a CPU environment" in run.err.splitlines()[0]
        assert "torch 9.1.0" in run.out


def test_a_mac_and_a_profile_of_a_card(person: Person) -> None:
    person.write("mac.json", machine_json(driver=None, os="macos", arch="arm64"))
    run = person.run("create", "--no-verify", "--profile", "blackwell", "--machine", "mac.json")

    assert run.code == 3
    assert "profile blackwell needs an NVIDIA GPU, and this machine has none: macOS has no NVIDIA driver" in run.err


def test_a_gpu_that_is_not_there(person: Person) -> None:
    run = person.run("resolve", "--gpu", "7")

    assert run.code == 3
    assert "there is no GPU 7: this machine has no NVIDIA GPU" in run.err


@pytest.mark.parametrize("command", ["detect", "doctor"])
def test_a_name_from_the_driver_commands_no_terminal(person: Person, tmp_path: Path, command: str) -> None:
    fake = FakeMachine(gpus=(FakeGpu(name=HOSTILE),)).environ(tmp_path / "driver")
    library = {key: value for key, value in fake.items() if key != "PATH"}
    run = person.run(command, **library)

    assert "RTX" in run.out
    assert "\x1b" not in run.out + run.err
    assert "\u202e" not in run.out + run.err
    assert "\\x1b[2J" in run.out


def test_a_name_from_the_driver_survives_the_machine_file(person: Person, tmp_path: Path) -> None:
    fake = FakeMachine(gpus=(FakeGpu(name=HOSTILE),)).environ(tmp_path / "driver")
    library = {key: value for key, value in fake.items() if key != "PATH"}
    person.write("machine.json", person.run("detect", "--json", **library).out)

    assert person.run("doctor", "--machine", "machine.json").code == 0


def test_a_machine_without_glibc_is_told_before_the_lock(person: Person) -> None:
    facts = json.loads(machine_json("9.0", driver="580.95.05", cuda=None)) | {"libc": "musl 1.2"}
    person.write("alpine.json", json.dumps(facts))
    run = person.run("detect", "--machine", "alpine.json")
    assert (run.code, "PyTorch has no wheels for musl 1.2: they are built for glibc" in run.out) == (0, True), run.out
