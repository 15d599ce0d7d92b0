"""Whatever the library does in whatever function: detection ends, with whole facts or a named reason."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from support.detection import look
from support.fake_nvml import H200, FakeGpu, FakeMachine
from support.trees import Tree

FUNCTIONS = (
    "nvmlInitWithFlags",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetCudaDriverVersion_v2",
    "nvmlSystemGetCudaDriverVersion",
    "nvmlDeviceGetCount_v2",
    *(
        f"{function}:{gpu}"
        for gpu in (0, 1)
        for function in (
            "nvmlDeviceGetHandleByIndex_v2",
            "nvmlDeviceGetUUID",
            "nvmlDeviceGetName",
            "nvmlDeviceGetCudaComputeCapability",
            "nvmlDeviceGetMemoryInfo",
            "nvmlDeviceGetPciInfo_v3",
            "nvmlDeviceGetMigMode",
            "nvmlDeviceGetGpuFabricInfoV",
        )
    ),
)
FAULTS = (*range(1, 31), 999, 4242, "abort", "segv")
SAMPLE = random.Random(20261122).sample([(function, fault) for function in FUNCTIONS for fault in FAULTS], 60)


@pytest.mark.parametrize(("function", "fault"), SAMPLE)
def test_it_ends_with_facts_or_a_reason(tmp_path: Path, function: str, fault: int | str) -> None:
    tree = Tree(tmp_path / "root").bus().pci(driver="nvidia").pci("0000:02:00.0", driver="nvidia").module().nodes()
    machine = FakeMachine(gpus=(FakeGpu(), H200), faults={function: fault})
    detection = look(tree, machine.environ(tmp_path / "driver"))

    reasons = [detection.problem] if detection.problem else list(detection.partial)
    assert all(reason.summary and reason.causes and reason.hints for reason in reasons)
    assert detection.machine.driver is not None
    assert len(detection.machine.gpus) == 2 or reasons
    assert len({gpu.index for gpu in detection.machine.gpus}) == len(detection.machine.gpus)


def test_nothing_heavy_is_loaded_for_it(tmp_path: Path) -> None:
    """NVML's binding stays in the child; the parent needs nothing beyond the standard library and gpuenv."""
    code = (
        "import os, sys\n"
        "from gpuenv.machine.detect import detect\n"
        "assert len(detect(environ=os.environ, timeout=120).machine.gpus) == 2\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'__main__'}))\n"
    )
    environ = FakeMachine(gpus=(FakeGpu(), H200)).environ(tmp_path)
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)

    assert [name for name in done.stdout.split() if not name.startswith(("_", "sitecustom"))] == ["gpuenv"]
