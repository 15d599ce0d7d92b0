"""Classes of machines: what they are called, and whose driver counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.model.machine import ComputeCapability, Driver, Gpu, Machine
from gpuenv.report import Silent
from gpuenv.steps.context import Context, Options
from gpuenv.steps.machine import class_name, classes, weaker


def machine(
    *capabilities: str, driver: str | None = "570.124.06", libc: str = "glibc 2.39", os: str = "linux"
) -> Machine:
    return Machine(
        os=os,  # type: ignore[arg-type]  # one of the model's literals
        arch="x86_64",
        libc=libc,
        wsl=False,
        container=False,
        driver=None if driver is None else Driver(version=driver, cuda="12.8", source="nvml"),
        gpus=tuple(
            Gpu(
                index=index,
                uuid=f"GPU-{index}",
                name="a card",
                compute_capability=ComputeCapability.parse(text),
                memory_bytes=None,
                mig=False,
            )
            for index, text in enumerate(capabilities)
        ),
    )


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (machine("9.0"), "linux-x86-64-sm90"),
        (machine("9.0", "9.0"), "linux-x86-64-sm90"),
        (machine("12.0", "7.0"), "linux-x86-64-sm70-sm120"),
        (machine(driver=None), "linux-x86-64-cpu"),
        (machine("8.9", os="windows"), "windows-x86-64-sm89"),
    ],
)
def test_the_name_of_a_class_knows_each_capability_once_and_in_order(made: Machine, name: str) -> None:
    assert class_name(made) == name


@pytest.mark.parametrize(
    ("one", "other", "is_weaker"),
    [
        (machine("9.0", driver="570.9"), machine("9.0", driver="570.26"), True),
        (machine("9.0", driver="570.26"), machine("9.0", driver="570.9"), False),
        (machine("9.0", libc="glibc 2.28"), machine("9.0", libc="glibc 2.39"), True),
        (machine("9.0"), machine("9.0"), False),
    ],
)
def test_the_older_driver_then_the_older_c_library_is_weaker(one: Machine, other: Machine, is_weaker: bool) -> None:
    assert weaker(one, other) is is_weaker


def test_machines_are_grouped_and_the_weakest_speaks_for_its_class(tmp_path: Path) -> None:
    import json

    for name, made in {
        "new.json": machine("9.0", driver="580.65.06"),
        "old.json": machine("9.0", driver="550.54.14"),
        "ada.json": machine("8.9"),
    }.items():
        (tmp_path / name).write_text(json.dumps(made.to_json()))
    context = Context(
        environ={},
        project=tmp_path,
        cache=tmp_path,
        state=tmp_path,
        config=tmp_path,
        reporter=Silent(),
        options=Options(),
    )
    found = classes(context, [Path("new.json"), Path("ada.json"), Path("old.json")])
    assert [group.name for group in found] == ["linux-x86-64-sm89", "linux-x86-64-sm90"]
    assert found[1].members == ("new.json", "old.json")
    assert found[1].machine.facts.driver is not None
    assert found[1].machine.facts.driver.version == "550.54.14"
