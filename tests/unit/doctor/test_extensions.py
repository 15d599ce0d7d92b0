"""The code of compiled packages is read against the card, as torch's own is (X6)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import Examination, examine
from gpuenv.doctor.finding import Finding
from gpuenv.installed import extensions
from gpuenv.installed.environment import read_environment
from gpuenv.model.machine import Machine
from support.choosing import machine
from support.environments import Environment
from support.fatbins import image, library, portable_library

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
    assert finding.summary.startswith("flash-attn 2.8.3 has no code for sm_120, and this machine has Test GPU")
    assert finding.summary.endswith(" (12.0): has sm_80 sm_90")
    assert "read from lib/python3.12/site-packages/flash_attn_2_cuda.so" in finding.detail
    assert (finding.by, finding.check) == ("yourself", "`gpuenv doctor` no longer names it")
    assert "TORCH_CUDA_ARCH_LIST=12.0 uv pip install --python .venv-gpu" in finding.fix
    assert finding.fix.endswith("--no-binary flash-attn flash-attn==2.8.3`")
    assert diagnosed(env, machine("9.0")) == []
    assert diagnosed(env, machine("8.9")) == [], "code of the same major and a lower minor runs"


def test_ptx_alone_is_said_as_such(env: Environment) -> None:
    env.install("natten", "0.21", files={"natten/_C.so": code("sm_80", "compute_90")})

    (finding,) = diagnosed(env, machine("12.0"))

    assert (finding.severity, finding.kind) == ("warning", "extension-by-ptx")
    assert "by PTX alone: compute_90 is compiled for sm_120 by the driver at first use" in finding.summary


def test_ptx_that_the_driver_does_not_take_is_no_code(env: Environment) -> None:
    env.install("natten", "0.21", files={"natten/_C.so": code("sm_80", "compute_90")})

    (finding,) = [each for each in diagnosed(env, machine("9.0", driver="550.54.15")) if each.subject == "extensions"]

    assert finding.kind == "extension-without-code"
    assert "made by CUDA 12.8, and the driver knows CUDA 12.4" in finding.detail


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
    assert finding.summary.endswith("has sm_70 sm_120")


def test_each_distribution_has_its_own_finding_and_each_card_counts(env: Environment) -> None:
    env.install("a", "1.0", files={"a/x.so": code("sm_80")}).install("b", "2.0", files={"b/y.so.3": code("sm_120")})
    env.install("c", "3.0", files={"c/z.cpython-312-x86_64-linux-gnu.so": code("sm_80", "sm_120")})

    found = [each.summary for each in diagnosed(env, machine("8.0", "12.0"))]

    assert [each.partition(" has no code for ")[0] for each in found] == ["a 1.0", "b 2.0"]
    assert ["sm_120," in found[0], "sm_80," in found[1]] == [True, True]


def test_windows_libraries_are_read_too(env: Environment) -> None:
    env.install("a", "1.0", files={"a/_C.pyd": portable_library([[image("sass", 80)]])})

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


def test_no_more_is_read_than_the_answer_needs(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a distribution that serves every card, the smallest library that does so is the last that is read."""
    large = library([[image("sass", 80, size=9000)]])
    env.install("a", "1.0", files={"a/small.so": code("sm_120"), "a/large.so": large})
    read: list[str] = []
    inner = extensions.read_library

    def counted(path: Path) -> object:
        read.append(path.name)
        return inner(path)

    monkeypatch.setattr(extensions, "read_library", counted)
    assert diagnosed(env, machine("12.0")) == []
    assert read == ["small.so"]
    read.clear()
    assert diagnosed(env, machine()) != []  # a CUDA build without a GPU
    assert read == []
