"""What was installed is read before it is used: a companion that does not run there ends the build."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.errors import NoFittingWheelError
from gpuenv.lock.model import Lock, MachineTarget
from gpuenv.model.machine import ComputeCapability
from gpuenv.report import Silent
from gpuenv.steps.companion_check import refuse_unfit, unfit_in
from support.environments import Environment
from support.fatbins import image
from support.libraries import elf_library
from support.locks import decided, inputs, lock_of, package

GONE = "_ZN2at4_ops4tril4callERKNS_6TensorEl"
"""A symbol that torch has no more since 2.10."""


def lock(capability: str = "9.0", *, name: str = "flash-attn", version: str = "2.8.3") -> Lock:
    target = MachineTarget(
        os="linux",
        arch="x86_64",
        libc="glibc 2.28",
        python="3.12",
        compute_capabilities=(ComputeCapability.parse(capability),),
        driver="580.95.05",
    )
    row = package(name, version, source="package-index")
    decision = decided(torch="2.10.0+cu128", variant="cu128", accelerator="cuda")
    return lock_of(row, inputs=inputs(target=target), decision=decision)


def installed(folder: Path, body: bytes, *, name: str = "flash-attn", version: str = "2.8.3") -> Environment:
    env = Environment(folder / ".venv-gpu").torch("2.10.0+cu128", cuda="12.8", archs=("90",))
    return env.install(name, version, files={f"{name.replace('-', '_')}/_C.so": body})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (elf_library(needed=["libcudart.so.13"], code=[image("sass", 90)]), "needs the libraries of CUDA 13"),
        (elf_library(undefined=[GONE], code=[image("sass", 90)]), f"needs {GONE}, which torch 2.10.0+cu128 lacks"),
        (elf_library(needed=["libcudart.so.12"], code=[image("sass", 80)]), "has no code for sm_90: sm_80"),
    ],
)
def test_what_does_not_run_there_is_refused_by_its_libraries(tmp_path: Path, body: bytes, says: str) -> None:
    env = installed(tmp_path, body)

    with pytest.raises(NoFittingWheelError) as found:
        refuse_unfit(lock(), env.path, reporter=Silent())

    assert found.value.message.startswith(f"flash-attn 2.8.3 {says}")
    assert found.value.message.endswith(": the environment was not put into its place")


def test_what_runs_there_is_not(tmp_path: Path) -> None:
    body = elf_library(needed=["libcudart.so.12", "libtorch_cpu.so"], code=[image("sass", 90)])
    env = installed(tmp_path, body)

    refuse_unfit(lock(), env.path, reporter=Silent())


def test_other_packages_are_not_read(tmp_path: Path) -> None:
    env = installed(tmp_path, elf_library(needed=["libcudart.so.13"], code=[image("sass", 90)]), name="einops")

    refuse_unfit(lock(name="einops"), env.path, reporter=Silent())


def test_a_lock_is_judged_by_the_tables() -> None:
    found = unfit_in(lock(name="onnxruntime-gpu", version="1.31.1"))

    assert [(each.name, unfit.lacks) for each, unfit in found] == [("onnxruntime-gpu", "cuda")]
    assert unfit_in(lock(name="onnxruntime-gpu", version="1.26.0")) == ()
