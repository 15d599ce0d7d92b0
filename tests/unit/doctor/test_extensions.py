"""The code of compiled packages is read against the card, as torch's own is (X6)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import Examination, examine
from gpuenv.doctor.finding import Finding
from gpuenv.installed.environment import read_environment
from gpuenv.model.machine import Machine
from gpuenv.shell import quote, with_variable
from support.choosing import machine
from support.environments import Environment
from support.fatbins import image, library
from support.libraries import elf_library, pe_library

KNOWN = knowledge.load()
WHEEL = ("75", "80", "86", "90", "100", "120")


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return Environment(tmp_path / ".venv-gpu").torch("2.10.0+cu128", cuda="12.8", archs=WHEEL)


def code(*names: str) -> bytes:
    """A library with an image for each of ``sm_80``, ``compute_90`` …"""
    kinds = {"sm": "sass", "compute": "ptx"}
    return library([[image(kinds[kind], int(number)) for kind, _, number in (name.partition("_") for name in names)]])


def examined(env: Environment, on: Machine) -> Examination:
    return examine(read_environment(env.path), machine=on, environ={"CC": sys.executable}, shown=env.path.name)


def diagnosed(env: Environment, on: Machine) -> list[Finding]:
    findings = diagnose_environment(examined(env, on), knowledge=KNOWN)
    return [each for each in findings if each.severity != "ok"]


def test_a_package_without_code_for_the_card(env: Environment) -> None:
    env.install("flash-attn", "2.8.3", files={"flash_attn_2_cuda.so": code("sm_80", "sm_90")})

    (finding,) = diagnosed(env, machine("12.0"))

    assert (finding.severity, finding.kind, finding.subject) == ("error", "extension-without-code", "extensions")
    assert finding.summary.startswith("flash-attn 2.8.3 has no code for sm_120: sm_80 sm_90; this machine has Test")
    assert "read from lib/python3.12/site-packages/flash_attn_2_cuda.so" in finding.detail
    assert (finding.by, finding.check) == ("yourself", "`gpuenv doctor` no longer names it")
    assert with_variable("TORCH_CUDA_ARCH_LIST", "12.0", "uv pip install --python .venv-gpu") in finding.fix
    assert finding.fix.endswith("--no-binary flash-attn flash-attn==2.8.3`")
    assert diagnosed(env, machine("9.0")) == []
    assert diagnosed(env, machine("8.9")) == [], "code of the same major and a lower minor runs"


def test_ptx_alone_is_said_as_such(env: Environment) -> None:
    env.install("natten", "0.21", files={"natten/_C.so": code("sm_80", "compute_90")})

    (finding,) = diagnosed(env, machine("12.0"))

    assert (finding.severity, finding.kind) == ("warning", "extension-by-ptx")
    assert finding.summary.startswith("natten 0.21 has no machine code for 12.0: PTX 9.0 through the driver")


def test_ptx_that_the_driver_does_not_take_is_no_code(env: Environment) -> None:
    env.install("natten", "0.21", files={"natten/_C.so": code("sm_80", "compute_90")})

    (finding,) = [each for each in diagnosed(env, machine("9.0", driver="550.54.15")) if each.subject == "extensions"]

    assert finding.kind == "extension-without-code"
    assert "made by CUDA 12.8, and the driver knows CUDA 12.4" in finding.summary


def test_the_libraries_of_one_distribution_are_one(env: Environment) -> None:
    """bitsandbytes brings one library for each CUDA, others one for each generation: the union counts."""
    files = {
        "a/old.so": code("sm_70"),
        "a/new.so": code("sm_120"),
        "a/plain.so": library([]),
        "a/data.so": "no library",
    }
    env.install("a", "1.0", files=files)

    assert diagnosed(env, machine("12.0", "8.0")) != []
    assert diagnosed(env, machine("12.0")) == []
    (finding,) = [each for each in diagnosed(env, machine("8.6")) if each.subject == "extensions"]
    assert ": sm_70 sm_120; " in finding.summary


def test_each_distribution_has_its_own_finding_and_each_card_counts(env: Environment) -> None:
    env.install("a", "1.0", files={"a/x.so": code("sm_80")}).install("b", "2.0", files={"b/y.so.3": code("sm_120")})
    env.install("c", "3.0", files={"c/z.cpython-312-x86_64-linux-gnu.so": code("sm_80", "sm_120")})

    found = [each.summary for each in diagnosed(env, machine("8.0", "12.0"))]

    assert [each.partition(" has no code for ")[0] for each in found] == ["a 1.0", "b 2.0"]
    assert ["sm_120: " in found[0], "sm_80: " in found[1]] == [True, True]


def test_windows_libraries_are_read_too(env: Environment) -> None:
    env.install("a", "1.0", files={"a/_C.pyd": pe_library({}, code=[image("sass", 80)])})

    assert [each.kind for each in diagnosed(env, machine("12.0"))] == ["extension-without-code"]


@pytest.mark.parametrize("name", ["torch", "nvidia-cudnn-cu12"])
def test_torchs_own_and_nvidias_libraries_are_not_read(env: Environment, name: str) -> None:
    version = "2.10.0+cu128" if name == "torch" else "9.10.2.21"
    env.install(name, version, files={"own/lib.so": code("sm_50")})

    assert [each for each in diagnosed(env, machine("12.0")) if each.subject == "extensions"] == []


def test_what_the_linker_makes_code_of_is_for_any_card(env: Environment) -> None:
    env.install("a", "1.0", files={"a/x.so": library([[image("lto", 80)]])})

    assert diagnosed(env, machine("12.0")) == []


def test_damaged_and_missing_libraries_are_the_business_of_record(env: Environment) -> None:
    env.install("a", "1.0", files={"a/cut.so": code("sm_80")[:100], "a/gone.so": code("sm_80"), "a/empty.so": ""})
    (env.site / "a/gone.so").unlink()

    assert {each.subject for each in diagnosed(env, machine("12.0"))} == {"files"}


def test_nothing_is_read_for_a_machine_without_a_gpu(env: Environment) -> None:
    env.install("a", "1.0", files={"a/small.so": code("sm_120")})

    assert examined(env, machine()).extensions == ()


def test_a_package_for_another_cuda(env: Environment) -> None:
    """Trap 1: the import prints a warning, the kernels are gone."""
    files = {"xformers/_C.so": elf_library(needed=["libcudart.so.13"], code=[image("sass", 90)])}
    env.install("xformers", "0.0.35", files=files)

    (finding,) = diagnosed(env, machine("9.0"))

    assert (finding.severity, finding.kind) == ("error", "extension-of-another-cuda")
    summary = "xformers 0.0.35 needs the libraries of CUDA 13, torch 2.10.0+cu128 brings those of CUDA 12"
    assert finding.summary == summary


def test_a_package_that_brings_its_own_cuda_is_no_mixture(env: Environment) -> None:
    library = elf_library(needed=["libcudart.so.13"], code=[image("sass", 90)])
    env.install("cupy-cuda13x", "14.1.0", files={"cupy/_core.so": library})
    assert [each.kind for each in diagnosed(env, machine("9.0"))] == ["extension-of-another-cuda"]

    env.install("nvidia-cuda-runtime", "13.0.96")
    assert [each.kind for each in diagnosed(env, machine("9.0"))] == ["libraries-left-over"]


@pytest.mark.parametrize(("version", "kinds"), [("2.10.0", ["extension-of-another-torch"]), ("2.9.1", [])])
def test_the_symbol_that_torch_lacks_is_named(tmp_path: Path, version: str, kinds: list[str]) -> None:
    env = Environment(tmp_path / ".venv-gpu").torch(f"{version}+cu128", cuda="12.8", archs=WHEEL)
    gone = "_ZN2at4_ops4tril4callERKNS_6TensorEl"
    library = elf_library(needed=["libtorch_cpu.so"], undefined=[gone], code=[image("sass", 90)])
    env.install("flash-attn", "2.8.3", files={"flash_attn_2_cuda.so": library})

    found = diagnosed(env, machine("9.0"))

    assert [each.kind for each in found] == kinds
    assert all(f"flash-attn 2.8.3 needs {gone}, which torch {version}+cu128 lacks" == each.summary for each in found)


def test_a_library_of_another_python(env: Environment) -> None:
    """Trap 11: a wheel for any Python from 3.10 on, with a library for 3.10 alone."""
    library = elf_library(undefined=["PyModule_Create2"], code=[image("sass", 90)])
    env.install("torchao", "0.18.0", files={"torchao/_C.cpython-310-x86_64-linux-gnu.so": library})

    (finding,) = diagnosed(env, machine("9.0"))

    assert finding.kind == "extension-of-another-python"
    assert finding.summary.endswith("is for cpython-310 alone")


def test_two_generations_of_nvidias_libraries(env: Environment) -> None:
    env.install("nvidia-nccl-cu12", "2.27.5").install("nvidia-nccl-cu13", "2.28.9")

    found = [each for each in diagnosed(env, machine("9.0")) if each.kind == "libraries-left-over"]

    assert [each.severity for each in found] == ["error"]
    assert found[0].summary == "nvidia-nccl-cu12 2.27.5 and nvidia-nccl-cu13 2.28.9 write the same files"


@pytest.mark.parametrize(
    ("torch", "numpy", "found"),
    [("2.2.2", "2.1.0", True), ("2.2.2", "1.26.4", False), ("2.3.0", "2.1.0", False)],
)
def test_a_torch_that_was_compiled_for_an_older_numpy(tmp_path: Path, torch: str, numpy: str, found: bool) -> None:
    env = Environment(tmp_path / ".venv-gpu").torch(f"{torch}+cu121", cuda="12.1", archs=("80", "90"))
    env.install("numpy", numpy)

    findings = [each for each in diagnosed(env, machine("9.0")) if each.kind == "requirement"]
    assert [each.summary for each in findings] == (
        [f"torch {torch}+cu121 was compiled for NumPy 1, and numpy {numpy} is there"] * found
    )
    assert [each.fix for each in findings] == [f"uv pip install --python .venv-gpu {quote('numpy<2')}"] * found
