"""Hosts of one class differ in nothing that a decision asks for; those of two classes do."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from gpuenv.fleet.classes import class_name, classes
from gpuenv.lock.codec import lock_filename
from gpuenv.model.machine import Machine
from support.choosing import machine

BASE = machine("9.0", driver="580.65.06")


@pytest.mark.parametrize(
    "other",
    [
        machine("9.0", driver="580.82.07"),
        machine("9.0", "12.0", driver="580.65.06"),
        replace(BASE, driver=None, gpus=()),
        replace(BASE, arch="aarch64"),
        replace(BASE, libc="glibc 2.31"),
        replace(BASE, libc="musl 1.2"),
        replace(BASE, wsl=True),
        replace(BASE, os="windows", libc=None),
    ],
)
def test_another_class(other: Machine) -> None:
    assert class_name(other) != class_name(BASE)


def test_the_same_class() -> None:
    """Two cards or eight, in a container or not, whatever the order and the memory: one lock serves all."""
    alike = [BASE, machine("9.0", "9.0", driver="580.65.06"), replace(BASE, container=True)]
    alike.append(replace(BASE, gpus=tuple(replace(gpu, memory_bytes=1, uuid="GPU-x") for gpu in BASE.gpus)))
    assert len({class_name(each) for each in alike}) == 1


def test_every_host_is_in_one_class() -> None:
    drivers, cards = ("535.104.05", "580.65.06"), (("8.0",), ("9.0",), ("7.0", "9.0"))
    hosts = {
        f"host{number}": machine(*card, driver=driver)
        for number, (driver, card, _) in enumerate(itertools.product(drivers, cards, range(3)))
    }
    found = classes(hosts)
    assert sorted(name for group in found for name in group.members) == sorted(hosts)
    assert len(found) == len(drivers) * len(cards)
    assert [group.name for group in found] == sorted(group.name for group in found)
    assert all(class_name(hosts[name]) == group.name for group in found for name in group.members)


def test_a_class_can_name_a_lock() -> None:
    name = class_name(replace(machine("7.0", "12.0", driver="570.124.06"), libc="glibc 2.39"))
    assert name == "linux-x86-64-glibc-2-39-driver-570-124-06-sm70-sm120"
    assert re.fullmatch(r"pylock\.[^.]+\.toml", lock_filename(f"auto-{name}"))
