"""Systems and processors: what is looked at, and what PyTorch has no wheels for."""

from __future__ import annotations

import os

import pytest

from gpuenv.errors import MachineError
from gpuenv.machine.detect import detect


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "arm64"), reason="no such Mac")
def test_macos_has_no_nvidia_gpu() -> None:
    detection = detect(environ={}, platform="darwin")

    assert (detection.machine.os, detection.machine.gpus, detection.problem) == ("macos", (), None)


def test_an_unknown_system() -> None:
    with pytest.raises(MachineError, match="this operating system is freebsd14"):
        detect(environ={}, platform="freebsd14")


@pytest.mark.parametrize("processor", ["x86", ""])
def test_an_unknown_processor(processor: str) -> None:
    with pytest.raises(MachineError, match="for which PyTorch has no wheels") as caught:
        detect(environ={"PROCESSOR_ARCHITECTURE": processor}, platform="win32")

    assert caught.value.causes == ("PyTorch's wheels for windows are for arm64 and x86_64",)
