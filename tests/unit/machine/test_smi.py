"""nvidia-smi's query output, as drivers of different ages print it."""

from __future__ import annotations

import pytest

from gpuenv.machine.conclusion import conclude
from gpuenv.machine.linux import Remains
from gpuenv.machine.nvml import NvmlAnswer, NvmlFailure
from gpuenv.machine.problem import Evidence, Kind, problem
from gpuenv.machine.smi import FIELDS, parse
from gpuenv.machine.windows import DISPLAY_ADAPTERS, adapters, driver_version, processor, smi_folders
from gpuenv.model.machine import ComputeCapability

ROW = "576.88, 0, GPU-a, 00000000:01:00.0, 32607, [N/A], 12.0, NVIDIA GeForce RTX 5090"


def test_one_gpu() -> None:
    answer = parse(ROW + "\n", code=0, path="nvidia-smi")

    (gpu,) = answer.gpus
    assert (answer.driver, answer.failure) == ("576.88", "")
    assert (gpu.index, gpu.uuid, gpu.name) == (0, "GPU-a", "NVIDIA GeForce RTX 5090")
    assert (gpu.compute_capability, gpu.memory_bytes, gpu.mig) == (ComputeCapability(12, 0), 32607 * 2**20, False)
    assert gpu.bus == "00000000:01:00.0"


def test_several_gpus_one_of_them_lost() -> None:
    lost = "[GPU is lost], 1, [GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost], [GPU is lost]"
    mig = "576.88, 2, GPU-c, 00000000:03:00.0, 81559, Enabled, 9.0, NVIDIA H100 80GB HBM3"
    answer = parse(f"{ROW}\n{lost}\n{mig}\n", code=0, path="nvidia-smi")

    assert [gpu.uuid for gpu in answer.gpus] == ["GPU-a", None, "GPU-c"]
    assert [gpu.mig for gpu in answer.gpus] == [False, False, True]


def test_a_driver_that_does_not_know_every_field() -> None:
    fields = [field for field in FIELDS if field not in ("compute_cap", "mig.mode.current")]
    answer = parse("390.157, 0, GPU-a, 00000000:01:00.0, 11178, GTX, 1080", code=0, path="x", fields=fields)

    assert answer.gpus[0].name == "GTX, 1080", "a comma in the last value belongs to it"
    assert answer.gpus[0].compute_capability is None


@pytest.mark.parametrize("memory", ["[N/A]", "Not Available", "0", ""])
def test_memory_that_is_not_told(memory: str) -> None:
    (gpu,) = parse(f"580.95.05, 0, GPU-a, 0, {memory}, [N/A], 12.1, NVIDIA GB10", code=0, path="x").gpus

    assert gpu.memory_bytes is None


@pytest.mark.parametrize(
    ("stdout", "stderr", "code", "says"),
    [
        ("No devices were found\n", "", 0, "No devices were found"),
        ("No devices were found\n", "", 6, "No devices were found"),
        ("", "Failed to initialize NVML: Driver/library version mismatch\n", 18, "Failed to initialize NVML"),
        ("", "", 255, "nvidia-smi ended with status 255"),
        ("", "", 0, "nvidia-smi ended with status 0"),
        (ROW, "Unable to determine the device handle", 15, "576.88"),
    ],
)
def test_refusals_are_no_gpus(stdout: str, stderr: str, code: int, says: str) -> None:
    answer = parse(stdout, stderr=stderr, code=code, path="x")

    assert (answer.gpus, answer.driver, answer.code) == ((), None, code)
    assert answer.failure.startswith(says)


@pytest.mark.parametrize(
    ("rows", "version"),
    [
        ([("pci\\ven_10de&dev_2b85", "32.0.15.7688")], "576.88"),
        ([("PCI\\VEN_10DE&DEV_1B06", "27.21.14.5671"), ("pci\\ven_10de&dev_2b85", "31.0.15.3742")], "537.42"),
        ([("pci\\ven_1002&dev_73bf", "32.0.15.7688")], None),
        ([("pci\\ven_10de", "unknown"), ("pci\\ven_10de", "1.2.3"), ("pci\\ven_10de", "0.0.0.1")], None),
        ([], None),
    ],
)
def test_the_driver_of_the_registry(rows: list[tuple[str, str]], version: str | None) -> None:
    assert driver_version(lambda: rows) == version


def test_a_driver_that_nvml_does_not_tell_is_the_registrys() -> None:
    silent = NvmlAnswer(ending="refused", failure=NvmlFailure(function="nvmlInit", code=12, text="Not Found"))
    adapter = ("VEN_10DE&DEV_2B85",)
    evidence = Evidence(host=None, answer=silent, smi=None, remains=Remains(), adapters=adapter, registry="576.88")
    driver = conclude(evidence, system="windows", arch="x86_64", environ={}).machine.driver

    assert driver is not None
    assert (driver.version, driver.place) == ("576.88", "the registry")


def test_windows_facts() -> None:
    assert processor({"PROCESSOR_ARCHITECTURE": "x86", "PROCESSOR_ARCHITEW6432": "AMD64"}) == "AMD64"
    assert smi_folders({"SYSTEMROOT": "D:\\W"})[0] == "D:\\W\\System32"
    known = [
        ("VEN_10DE&DEV_2B85&SUBSYS_1", DISPLAY_ADAPTERS.upper()),
        ("VEN_10DE&DEV_22E8&SUBSYS_1", "{4d36e96c-e325-11ce-bfc1-08002be10318}"),
        ("VEN_8086&DEV_4680&SUBSYS_2", DISPLAY_ADAPTERS),
    ]
    assert adapters(lambda: known) == (("VEN_10DE&DEV_2B85&SUBSYS_1",), ("VEN_8086&DEV_4680&SUBSYS_2",))


@pytest.mark.parametrize("kind", ["hang", "crash", "no-device", "busy"])
def test_no_hint_on_windows_is_a_command_of_linux(kind: Kind) -> None:
    silent = NvmlAnswer(ending="hung", failure=NvmlFailure(function="nvmlInit", code=None, text="no answer"))
    evidence = Evidence(host=None, answer=silent, smi=None, remains=Remains())
    words = {"driver": "the driver", "of": "", "runs": "it runs", "gpu": "GPU 0"}
    found = problem(kind, evidence, (), **words)

    assert found.hints
    assert not any(word in hint for hint in found.hints for word in ("sudo", "dmesg", "systemctl"))
