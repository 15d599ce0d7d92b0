"""The machine file: what it must hold, and how each mistake is named."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from gpuenv.errors import ConfigurationError
from gpuenv.machine.file import parse_machine
from gpuenv.model.machine import ComputeCapability, Driver, Gpu, Machine

DESIGN = """{"os": "linux", "arch": "x86_64", "libc": "glibc 2.39", "wsl": false, "container": false,
 "driver": {"version": "576.88", "cuda": "12.9", "source": "nvml"},
 "gpus": [{"index": 0, "uuid": "GPU-1", "name": "NVIDIA GeForce RTX 5090", "compute_capability": "12.0",
           "memory_bytes": 34190917632, "mig": false}]}"""

MACHINE = Machine(
    os="linux",
    arch="x86_64",
    libc="glibc 2.39",
    wsl=False,
    container=False,
    driver=Driver(version="576.88", cuda="12.9", source="nvml"),
    gpus=(
        Gpu(
            index=0,
            uuid="GPU-1",
            name="NVIDIA GeForce RTX 5090",
            compute_capability=ComputeCapability(12, 0),
            memory_bytes=34190917632,
            mig=False,
        ),
    ),
)


def test_the_file_of_the_design() -> None:
    assert parse_machine(DESIGN, origin="m.json") == MACHINE
    assert MACHINE.to_json() == json.loads(DESIGN)
    assert list(MACHINE.to_json()) == list(json.loads(DESIGN))


def test_the_whole_output_of_detect() -> None:
    schema = {"name": "gpuenv", "version": "1"}
    envelope = {"schema": schema, "command": "detect", "status": "ok", "exit_code": 0, "data": json.loads(DESIGN)}

    assert parse_machine(json.dumps({**envelope, "errors": []}), origin="m.json") == MACHINE


def test_null_where_something_is_not_known() -> None:
    text = DESIGN.replace('"12.9"', "null").replace("34190917632", "null").replace('"glibc 2.39"', "null")
    machine = parse_machine(text, origin="m.json")

    assert machine.libc is None
    assert machine.driver is not None
    assert machine.driver.cuda is None
    assert machine.gpus[0].memory_bytes is None


def test_no_gpu() -> None:
    value = {**json.loads(DESIGN), "driver": None, "gpus": []}

    assert parse_machine(json.dumps(value), origin="m.json").driver is None


def test_gpus_come_in_the_order_of_their_index() -> None:
    value = json.loads(DESIGN)
    value["gpus"] = [{**value["gpus"][0], "index": 3, "uuid": "GPU-3"}, value["gpus"][0]]

    assert [gpu.index for gpu in parse_machine(json.dumps(value), origin="m.json").gpus] == [0, 3]


Change = Callable[[dict[str, object]], object]


def put(path: str, value: object) -> Change:
    """Set one place; ``...`` removes it."""

    def change(machine: dict[str, object]) -> None:
        here: object = machine
        *steps, last = path.split("/")
        for step in steps:
            here = here[int(step)] if isinstance(here, list) else here[step]  # type: ignore[index]
        if value is ...:
            del here[last]  # type: ignore[attr-defined]
        else:
            here[last] = value  # type: ignore[index]

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (put("os", ...), "m.json: os is missing"),
        (put("driver/cuda", ...), "m.json: driver.cuda is missing"),
        (put("gpus/0/uuid", ...), "m.json: gpus[0].uuid is missing"),
        (
            put("gpu", []),
            "m.json: gpu is not known here (valid: os, arch, libc, wsl, container, driver, gpus, sources)",
        ),
        (put("gpus/0/cc", "8.9"), "m.json: gpus[0].cc is not known here (valid: index, uuid, name, compute"),
        (put("os", "Linux"), 'm.json: os is "Linux" (valid: linux, windows, macos)'),
        (put("os", ["linux"]), 'm.json: os is ["linux"] (valid: '),
        (put("arch", "arm64"), 'm.json: arch is "arm64" (valid: x86_64, aarch64)'),
        (put("libc", "2.39"), 'm.json: libc is "2.39" (expected "glibc X.Y" or "musl X.Y", or null)'),
        (put("wsl", 0), "m.json: wsl is 0 (expected true or false)"),
        (put("container", None), "m.json: container is null (expected true or false)"),
        (put("driver", None), "m.json: driver is null although GPUs are listed"),
        (put("driver", "576.88"), 'm.json: driver is "576.88" (expected an object with version, cuda, source)'),
        (put("driver/version", "R576"), 'm.json: driver.version is "R576" (expected numbers with dots, such as'),
        (put("driver/version", 576.88), "m.json: driver.version is 576.88 (expected numbers with dots"),
        (put("driver/cuda", "12"), 'm.json: driver.cuda is "12" (expected MAJOR.MINOR'),
        (put("driver/cuda", 12.9), "m.json: driver.cuda is 12.9 (expected MAJOR.MINOR"),
        (put("driver/source", ""), 'm.json: driver.source is "" (expected text that is not empty)'),
        (put("gpus", {}), "m.json: gpus is {} (expected a list of GPUs, empty where there is none)"),
        (put("gpus", [7]), "m.json: gpus[0] is 7 (expected an object with index"),
        (put("gpus/0/index", True), "m.json: gpus[0].index is true (expected a whole number, 0 or more)"),
        (put("gpus/0/index", -1), "m.json: gpus[0].index is -1 (expected a whole number, 0 or more)"),
        (put("gpus/0/name", " "), 'm.json: gpus[0].name is " " (expected text that is not empty)'),
        (put("gpus/0/uuid", "a\nb"), 'm.json: gpus[0].uuid is "a\\nb" (expected text'),
        (put("gpus/0/compute_capability", 12.0), 'm.json: gpus[0].compute_capability is 12.0 (expected text "MAJOR.MI'),
        (put("gpus/0/compute_capability", "12"), 'm.json: gpus[0].compute_capability is "12" (expected text "MAJOR'),
        (put("gpus/0/compute_capability", "120.0"), 'm.json: gpus[0].compute_capability is "120.0" (expected'),
        (put("gpus/0/memory_bytes", 0), "m.json: gpus[0].memory_bytes is 0 (expected a whole number, 1 or more)"),
        (put("gpus/0/memory_bytes", "32 GB"), 'm.json: gpus[0].memory_bytes is "32 GB" (expected a whole number'),
        (put("gpus/0/mig", "no"), 'm.json: gpus[0].mig is "no" (expected true or false)'),
        (put("sources", []), "m.json: sources is [] (expected an object of texts)"),
        (put("sources", {"os": 1}), "m.json: sources.os is 1 (expected text that is not empty)"),
    ],
)
def test_each_mistake_is_named(change: Change, says: str) -> None:
    value = json.loads(DESIGN)
    change(value)

    with pytest.raises(ConfigurationError) as caught:
        parse_machine(json.dumps(value), origin="m.json")

    assert caught.value.message.startswith(says)
    assert caught.value.hints


def test_a_driver_may_be_named_by_its_branch() -> None:
    value = json.loads(DESIGN)
    value["driver"]["version"] = "580"

    driver = parse_machine(json.dumps(value), origin="m.json").driver
    assert driver is not None
    assert driver.version == "580"


def test_two_gpus_with_one_uuid() -> None:
    value = json.loads(DESIGN)
    value["gpus"].append({**value["gpus"][0], "index": 1})

    with pytest.raises(ConfigurationError, match=r"gpus\[1\]\.uuid is that of gpus\[0\] too"):
        parse_machine(json.dumps(value), origin="m.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "m.json, line 1, column 1: not JSON"),
        ('{\n "os": linux}', "m.json, line 2, column 8: not JSON"),
        ("[]", "m.json: the file is [] (expected an object with os"),
        ('{"os": "linux", "os": "windows"}', "m.json: the file holds the key 'os' twice"),
        ("[" * 100_000, "m.json: not JSON (it is nested too deeply)"),
        ('{"os": ' + "9" * 5000 + "}", "m.json: not JSON (it holds a number of 1,000 digits or more on line 1)"),
        ('{"os": "\\ud800"}', "m.json: arch is missing"),
        ('{"\\ud800": 1}', "m.json: '\\ud800' is not known here"),
        ('{"schema": {"name": "other"}, "data": {}}', "m.json: schema is not that of"),
        ('{"schema": {"name": "gpuenv"}, "command": "resolve", "data": {}}', 'm.json: command is "resolve" (expected'),
        (
            '{"schema": {"name": "gpuenv"}, "command": "detect", "status": "error", "data": {}}',
            'm.json: status is "error": detection failed on that machine',
        ),
        (
            '{"schema": {"name": "gpuenv"}, "command": "detect", "status": "ok", "data": {}}',
            "m.json: data.os is missing",
        ),
    ],
)
def test_files_that_are_no_machine(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_machine(text, origin="m.json")

    assert caught.value.message.startswith(says)
    caught.value.message.encode("utf-8")
