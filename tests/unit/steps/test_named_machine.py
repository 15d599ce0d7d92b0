"""Machines by the name of a card: which card, which driver, which system."""

from __future__ import annotations

import pytest

from gpuenv.errors import UsageError
from gpuenv.steps.named_machine import ASSUMED, is_named, named_machine


@pytest.mark.parametrize(
    ("text", "capability", "branch", "arch"),
    [
        ("rtx5090", "12.0", 595, "x86_64"),
        ("RTX 4090", "8.9", 595, "x86_64"),
        ("gtx 1080", "6.1", 580, "x86_64"),  # the last branch that serves it
        ("9.0", "9.0", 595, "x86_64"),
        ("gb10", "12.1", 595, "aarch64"),  # sold with an Arm CPU alone
        ("GH200 480GB", "9.0", 595, "aarch64"),
        ("jetson thor", "11.0", 595, "aarch64"),
    ],
)
def test_a_card_stands_for_a_machine_with_it(text: str, capability: str, branch: int, arch: str) -> None:
    machine = named_machine(text)
    assert [str(gpu.compute_capability) for gpu in machine.gpus] == [capability]
    assert machine.driver is not None
    assert machine.driver.source == ASSUMED
    number = int(machine.driver.version.partition(".")[0])
    assert number == branch if branch == 580 else number >= branch
    assert (machine.os, machine.arch) == ("linux", arch)


def test_its_driver_can_be_named() -> None:
    driver = named_machine("h100@535.104.05").driver
    assert driver is not None
    assert (driver.version, driver.cuda) == ("535.104.05", "12.2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rtx9999x", "no GPU is known by the name"),
        ("h100@", "'' is no driver version"),
        ("h100@newest", "'newest' is no driver version"),
        ("blackwell", "stands for cards of compute capability"),
    ],
)
def test_what_names_no_one_card_is_an_error_with_a_way_on(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        named_machine(text)
    assert caught.value.hints


def test_a_path_is_no_name() -> None:
    assert [is_named(text) for text in ("rtx5090", "h100@535.104.05", "a/b", "gone.json")] == [True, True, False, False]
