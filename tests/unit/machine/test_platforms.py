"""Systems and processors: what is looked at, and what PyTorch has no wheels for."""

from __future__ import annotations

import platform

import pytest

from gpuenv.errors import MachineError
from gpuenv.machine.detect import detect
from gpuenv.machine.file import parse_machine
from gpuenv.machine.notes import notes_of_system
from gpuenv.model.machine import Machine
from support.cli import machine_json


@pytest.mark.skipif(platform.machine() not in ("x86_64", "arm64"), reason="no such Mac")
def test_macos_has_no_nvidia_gpu() -> None:
    detection = detect(environ={}, platform="darwin")

    assert (detection.machine.os, detection.machine.gpus, detection.problem) == ("macos", (), None)
    assert detection.notes == notes_of_system(detection.machine)


def machine(**facts: str) -> Machine:
    return parse_machine(machine_json(driver=None, **facts), origin="m.json")


def test_a_mac_is_told_what_becomes_of_its_gpu() -> None:
    (apple,) = notes_of_system(machine(os="macos", arch="arm64"))
    (intel,) = notes_of_system(machine(os="macos", arch="x86_64"))

    assert "no NVIDIA driver" in apple
    assert "does not try mps" in apple
    assert "mps" not in intel
    assert "no longer makes builds for Macs with an Intel processor" in intel
    assert notes_of_system(machine()) == notes_of_system(machine(os="windows")) == ()


def test_an_unknown_system() -> None:
    with pytest.raises(MachineError, match="this operating system is freebsd14"):
        detect(environ={}, platform="freebsd14")


@pytest.mark.parametrize("processor", ["x86", ""])
def test_an_unknown_processor(processor: str) -> None:
    with pytest.raises(MachineError, match="for which PyTorch has no wheels") as caught:
        detect(environ={"PROCESSOR_ARCHITECTURE": processor}, platform="win32")

    assert caught.value.causes == ("PyTorch's wheels for windows are for arm64 and x86_64",)
