"""Environments as people really have them, each with what is wrong and the command that fixes it.

The ids in the tests' names are those of the recorded threads (group and case) where one stands behind it.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import examine, has_headers
from gpuenv.doctor.family import built_for, variant_in
from gpuenv.doctor.finding import Finding
from gpuenv.installed.environment import read_environment
from gpuenv.model.machine import ComputeCapability, Driver, Gpu, Machine
from gpuenv.shell import quote, then, unset
from support.environments import Environment
from support.systems import LINKS, LINUX_PATHS

KNOWN = knowledge.load()
TOOLS = {"CC": sys.executable}
OTHER_PYTHON = then("uv python install 3.12", "gpuenv create --profile auto .venv-gpu")
BLACKWELL_WHEEL = ("75", "80", "86", "90", "100", "120")


def machine(*capabilities: str, driver: str = "580.95.05", cuda: str | None = "13.0") -> Machine:
    gpus = tuple(
        Gpu(
            index=index,
            uuid=f"GPU-{index}",
            name=f"NVIDIA Card {index}",
            compute_capability=ComputeCapability.parse(capability),
            memory_bytes=2**34,
            mig=False,
        )
        for index, capability in enumerate(capabilities)
    )
    return Machine(
        os="linux",
        arch="x86_64",
        libc="glibc 2.39",
        wsl=False,
        container=False,
        driver=Driver(version=driver, cuda=cuda, source="nvml") if gpus else None,
        gpus=gpus,
    )


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return Environment(tmp_path / ".venv-gpu")


def sound(env: Environment) -> Environment:
    env.torch(
        "2.10.0+cu128",
        cuda="12.8",
        archs=BLACKWELL_WHEEL,
        requires=[
            'triton==3.6.0; platform_system == "Linux"',
            "nvidia-cudnn-cu12==9.10.2.21",
            'x; extra == "opt"',
        ],
    )
    env.install("triton", "3.6.0").install("nvidia-cudnn-cu12", "9.10.2.21")
    env.install("torchvision", "0.25.0+cu128", requires=["torch==2.10.0", "numpy"]).install("numpy", "2.1.0")
    return env


def diagnosed(
    env: Environment, on: Machine | None = None, environ: dict[str, str] | None = None
) -> tuple[Finding, ...]:
    examination = examine(
        read_environment(env.path), machine=on, environ=TOOLS if environ is None else environ, shown=env.path.name
    )
    return diagnose_environment(examination, knowledge=KNOWN)


def wrong(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "ok"]


def the(findings: tuple[Finding, ...], subject: str) -> Finding:
    (found,) = [finding for finding in wrong(findings) if finding.subject == subject]
    return found


def test_a_sound_environment_has_nothing_wrong(env: Environment) -> None:
    findings = diagnosed(sound(env).marked(), machine("12.0", "8.6"))

    assert wrong(findings) == []
    assert [finding.subject for finding in findings] == ["files", "torch", "GPU 0", "GPU 1", "family"]
    said = [finding.summary for finding in findings]
    assert said[0] == "5 packages; compared with RECORD: presence and size of 27 files"
    assert said[2] == "NVIDIA Card 0 (12.0) is served by sm_120"
    assert said[4] == "torch 2.10.0+cu128, torchvision 0.25.0+cu128, triton 3.6.0 belong together"


def test_a_cpu_build_on_a_gpu_machine(env: Environment) -> None:
    """silent CPU build: pdm-cpu, conda-forge-cpu, mirror-cpu-only-win; pip overwrote GPU torch: liquid-audio-cpu"""
    finding = the(diagnosed(env.torch("2.3.1+cpu").marked(profile="ada"), machine("8.9")), "torch")

    assert finding.severity == "error"
    assert finding.summary == "torch 2.3.1+cpu is a CPU build, and this machine has NVIDIA Card 0"
    assert finding.detail == "torch/version.py has no CUDA version, installed by uv"
    assert finding.fix == "gpuenv create --profile ada .venv-gpu"


def test_a_cpu_build_that_was_asked_for(env: Environment) -> None:
    assert wrong(diagnosed(env.torch("2.3.1+cpu").marked(profile="cpu"), machine("8.9"))) == []


def test_a_cpu_build_where_there_is_no_gpu(env: Environment) -> None:
    assert wrong(diagnosed(env.torch("2.3.1+cpu").marked(), machine())) == []


def test_a_cuda_build_where_there_is_no_gpu(env: Environment) -> None:
    finding = the(diagnosed(sound(env).marked(), machine()), "torch")

    assert (finding.severity, finding.fix) == ("warning", "gpuenv create --profile cpu .venv-gpu-2")


def test_a_rocm_build(env: Environment) -> None:
    finding = the(diagnosed(env.torch("2.9.0+rocm6.4", hip="6.4").marked(), machine("8.9")), "torch")

    assert finding.severity == "error"
    assert "AMD" in finding.summary


@pytest.mark.parametrize(
    ("capability", "archs", "cuda"),
    [
        ("6.1", ("75", "80", "86", "90", "100", "120"), "13.0"),  # wheel lacks sm_XX: pascal-1060-uvsync
        ("12.0", ("50", "60", "70", "75", "80", "86", "90"), "12.6"),  # the evening that started it
        ("11.0", ("80", "90", "100", "120"), "12.9"),  # Jetson: jetson-thor-vs-gb10
    ],
)
def test_torch_without_code_for_the_card(env: Environment, capability: str, archs: tuple[str, ...], cuda: str) -> None:
    findings = diagnosed(env.torch("2.14.0", cuda=cuda, archs=archs).marked(profile="auto"), machine(capability))
    finding = the(findings, "GPU 0")

    assert finding.severity == "error"
    assert f"has no code that runs on NVIDIA Card 0 ({capability})" in finding.summary
    assert finding.fix == "gpuenv create --profile auto .venv-gpu"


def test_one_card_of_two_is_served(env: Environment) -> None:
    findings = diagnosed(sound(env).marked(), machine("12.0", "7.0"))

    assert the(findings, "GPU 1").severity == "error"
    assert findings[0].subject == "GPU 1", "errors come first"


def test_ptx_alone_is_a_warning(env: Environment) -> None:
    """PTX JIT slow first start: jit-rtx2080-mixed"""
    env.torch("2.10.0", cuda="12.8", archs=("80",), ptx=("90",)).marked()
    finding = the(diagnosed(env, machine("12.0")), "GPU 0")

    assert finding.severity == "warning"
    assert finding.summary.startswith("NVIDIA Card 0 (12.0) is served by compute_90: ")


def test_ptx_of_a_toolkit_whose_libraries_do_not_know_the_card_does_not_serve_it(env: Environment) -> None:
    """As the decision says it: cuBLAS and cuDNN of that CUDA have no code for the card."""
    env.torch("2.6.0", cuda="12.4", archs=("50", "90"), ptx=("90",)).marked()
    finding = the(diagnosed(env, machine("12.0")), "GPU 0")

    assert finding.severity == "error"
    assert "the libraries of CUDA 12.4 do not know sm_120" in finding.detail


def test_a_torch_that_does_not_tell_its_code(env: Environment) -> None:
    finding = the(diagnosed(env.torch("2.10.0", cuda="12.8", archs=None).marked(), machine("9.0")), "GPU 0")

    assert (finding.severity, finding.by) == ("warning", "yourself")
    assert finding.fix == "Prove it by running it: `gpuenv verify .venv-gpu`"


def test_a_driver_that_is_too_old(env: Environment) -> None:
    """driver too old: sky-nvjitlink-driver and others"""
    env.torch("2.11.0", cuda="13.0", archs=("75", "80", "90")).marked()
    finding = the(diagnosed(env, machine("8.0", driver="535.161.08", cuda="12.2")), "driver")

    assert finding.severity == "error"
    assert finding.summary.startswith("driver 535.161.08 (NVML) is too old for CUDA 13.0, which needs 580")


@pytest.mark.parametrize(("cuda", "kinds"), [("13.0", ["driver-untold"]), ("99.9", [])])
def test_a_cuda_that_no_table_knows_is_believed_of_a_driver_that_says_it_knows_it(
    env: Environment, cuda: str, kinds: list[str]
) -> None:
    env.torch("9.9.0", cuda="99.9", archs=("90",)).marked()
    findings = wrong(diagnosed(env, machine("9.0", driver="999.10", cuda=cuda)))

    assert [each.kind for each in findings] == kinds
    for each in findings:
        assert (each.severity, each.summary) == (
            "warning",
            "whether driver 999.10 (NVML) runs CUDA 99.9 cannot be told: no table has the least driver for that, "
            "and it knows CUDA 13.0",
        )


def test_companions_of_another_build(env: Environment) -> None:
    """torch / torchvision mismatch: nms-cu126, nms-cuda-backend, sglang-stale-companions, uvsync-mixed-cuda"""
    env.torch("2.10.0+cu128", cuda="12.8", archs=BLACKWELL_WHEEL)
    env.install("torchvision", "0.25.0+cpu").install("torchaudio", "2.10.0+cu126").marked()
    first, second = [finding for finding in wrong(diagnosed(env, machine("9.0"))) if finding.subject == "family"]

    assert first.summary == "torchaudio 2.10.0+cu126 is a build for cu126, torch 2.10.0+cu128 one for cu128"
    assert second.summary == "torchvision 0.25.0+cpu is a build for cpu, torch 2.10.0+cu128 one for cu128"
    assert (first.severity, first.fix) == ("error", "gpuenv create --profile auto .venv-gpu")


def test_cuda_companions_beside_a_cpu_torch(env: Environment) -> None:
    env.torch("2.10.0+cpu").install("torchvision", "0.25.0+cu128").marked()

    assert "torch 2.10.0+cpu one for cpu" in the(diagnosed(env, machine()), "family").summary


def test_builds_of_the_package_index_have_no_local_part(env: Environment) -> None:
    env.torch("2.11.0", cuda="13.0", archs=("90",)).install(
        "torchvision", "0.26.0", requires=["torch==2.11.0"]
    ).marked()

    assert wrong(diagnosed(env, machine("9.0"))) == []


def test_companions_of_another_release(env: Environment) -> None:
    """torch / torchvision mismatch: nms-recurring; pip overwrote GPU torch: comfy-docker-xformers"""
    env.torch("2.7.1+cu128", cuda="12.8", archs=BLACKWELL_WHEEL)
    env.install("torchvision", "0.25.0+cu128", requires=["torch==2.10.0"]).marked()
    finding = the(diagnosed(env, machine("9.0")), "family")

    assert finding.summary == "torchvision 0.25.0+cu128 asks for torch==2.10.0, and 2.7.1+cu128 is installed"


def test_companions_of_another_day(env: Environment) -> None:
    """nightly / companion mismatch"""
    env.torch("2.11.0.dev20260102+cu128", cuda="12.8", archs=BLACKWELL_WHEEL)
    env.install("torchvision", "0.26.0.dev20260103+cu128", requires=["torch==2.11.0.dev20260103"]).marked()

    assert "and 2.11.0.dev20260102+cu128 is installed" in the(diagnosed(env, machine("9.0")), "family").summary


def test_triton_is_missing(env: Environment) -> None:
    env.torch("2.10.0", cuda="12.8", archs=("90",), requires=['triton==3.6.0; platform_system == "Linux"']).marked()
    finding = the(diagnosed(env, machine("9.0")), "family")

    assert (finding.severity, finding.summary) == ("warning", "torch 2.10.0 asks for triton==3.6.0, which is missing")


def test_triton_of_another_release(env: Environment) -> None:
    env.torch("2.10.0", cuda="12.8", archs=("90",), requires=["triton==3.6.0"]).install("triton", "3.5.1").marked()
    finding = the(diagnosed(env, machine("9.0")), "family")

    assert (finding.severity, finding.detail) == ("error", "torch.compile needs it")


def test_two_packages_hold_triton(env: Environment) -> None:
    env.torch("2.10.0", cuda="12.8", archs=("90",)).install("triton", "3.6.0").install(
        "pytorch-triton", "3.5.0"
    ).marked()

    assert "overwrite each other" in the(diagnosed(env, machine("9.0")), "family").summary


def test_cuda_libraries_are_missing_or_wrong(env: Environment) -> None:
    env.torch("2.10.0", cuda="12.8", archs=("90",), requires=["nvidia-cudnn-cu12==9.10.2.21", "nvidia-nccl-cu12==2.27"])
    finding = the(diagnosed(env.install("nvidia-cudnn-cu12", "8.9.2.26").marked(), machine("9.0")), "family")

    assert finding.severity == "error"
    assert "nvidia-cudnn-cu12==9.10.2.21, and 8.9.2.26 is installed" in finding.summary
    assert "nvidia-nccl-cu12==2.27, which is missing" in finding.summary


def test_cuda_libraries_of_another_major_version(env: Environment) -> None:
    sound(env).install("nvidia-cudnn-cu13", "9.15.0").install("nvidia-ml-py", "13.590.44").marked()
    finding = the(diagnosed(env, machine("9.0")), "family")

    assert finding.severity == "warning"
    assert finding.summary.endswith("left over from another: nvidia-cudnn-cu13 9.15.0")


def test_cuda_libraries_that_somebody_asks_for_are_not_left_over(env: Environment) -> None:
    sound(env).install("nvidia-tool-cu13", "1.0").install("tool", "1.0", requires=["nvidia-tool-cu13>=1"]).marked()

    assert wrong(diagnosed(env, machine("9.0"))) == []


@pytest.mark.parametrize(
    ("name", "version", "built"),
    [
        ("flash-attn", "2.8.3+cu12torch2.7cxx11abifalse", "2.7"),  # flash-localai-torch210
        ("causal-conv1d", "1.5.0+cu11torch2.1cxx11abitrue", "2.1"),  # mamba-torch22
        ("torch-scatter", "2.1.2+pt24cu121", "2.4"),
    ],
)
def test_extensions_compiled_for_another_torch(env: Environment, name: str, version: str, built: str) -> None:
    finding = the(diagnosed(sound(env).install(name, version).marked(), machine("9.0")), "family")

    assert finding.summary == f"{name} {version} was compiled for torch {built}, and torch 2.10.0+cu128 is installed"


@pytest.mark.parametrize(
    ("abi", "file", "wrong"), [(True, "TRUE", 0), (False, "TRUE", 1), (True, "FALSE", 1), (None, "TRUE", 0)]
)
def test_extensions_whose_file_names_their_torch_and_abi(
    env: Environment, abi: bool | None, file: str, wrong: int
) -> None:
    """flash-attn leaves the local part out of its metadata: the name of the wheel tells it."""
    env.torch("2.6.0+cu124", cuda="12.4", archs=("90",), cxx11_abi=abi).install("flash-attn", "2.8.2")
    env.came_from(
        "flash-attn", f"https://h.example/flash_attn-2.8.2%2Bcu12torch2.6cxx11abi{file}-cp312-cp312-linux_x86_64.whl"
    )
    found = [each.kind for each in diagnosed(env, machine("9.0")) if each.severity != "ok"]

    assert found == ["extension-of-another-torch"] * wrong


def test_extensions_compiled_for_this_torch(env: Environment) -> None:
    env.torch("2.7.1+cu128", cuda="12.8", archs=("90",)).install(
        "flash-attn", "2.8.3+cu12torch2.7cxx11abitrue"
    ).marked()

    assert wrong(diagnosed(env, machine("9.0"))) == []


def test_files_that_are_missing_or_changed(env: Environment) -> None:
    sound(env).marked()
    (env.site / "torch/__init__.py").unlink()
    (env.site / "numpy/__init__.py").write_text("changed")
    finding = the(diagnosed(env, machine("9.0")), "files")

    assert finding.severity == "error"
    assert finding.summary == "2 code files are missing or not what RECORD says, of numpy, torch"


def test_code_that_runs_at_every_start(env: Environment) -> None:
    sound(env).marked()
    (env.site / "sitecustomize.py").write_text("import torch\n")

    assert "sitecustomize.py runs at every start" in the(diagnosed(env, machine("9.0")), "files").summary


def test_an_interpreter_that_is_gone(env: Environment) -> None:
    sound(env).marked()
    (env.path / "bin/python").unlink()

    assert the(diagnosed(env, machine("9.0")), "files").summary == "the environment is broken: its interpreter is gone"


def test_an_environment_that_gpuenv_did_not_build_is_as_good(env: Environment) -> None:
    findings = diagnosed(sound(env), machine("9.0"))

    assert wrong(findings) == []
    (origin,) = [finding for finding in findings if finding.subject == "origin"]
    assert origin.summary == "a venv environment that gpuenv did not build: nothing says what should be in it"


def test_torch_was_replaced_after_the_build(env: Environment) -> None:
    """pip overwrote GPU torch: xformers-ngc, comfy-docker-xformers; tool re-sync reverts GPU torch: uvrun-indextts"""
    sound(env).marked()
    shutil.rmtree(env.site / "torch-2.10.0+cu128.dist-info")
    env.torch("2.7.1+cu126", cuda="12.6", archs=("90",))
    (env.site / "torch-2.7.1+cu126.dist-info/INSTALLER").write_text("pip")
    finding = the(diagnosed(env, machine("9.0")), "drift")

    assert finding.severity == "error"
    assert "torch 2.10.0+cu128 became 2.7.1+cu126" in finding.summary
    assert finding.detail.startswith("torch: by pip at ")


def test_other_packages_may_change(env: Environment) -> None:
    sound(env).marked()
    env.install("requests", "2.32.0")
    finding = the(diagnosed(env, machine("9.0")), "drift")

    assert finding.severity == "warning"
    assert finding.summary == "1 package is not as in what it was built with: requests 2.32.0 was added"


def test_what_any_package_asks_for_is_compared(env: Environment) -> None:
    """vLLM pins its torch; extras count where somebody asks for them."""
    env.torch("2.9.1", cuda="12.8", archs=("90",))
    env.install("vllm", "0.9.2", requires=["torch==2.7.0", "numpy<2", "ray[more]"]).install("numpy", "2.1.0")
    env.install("ray", "2.0", requires=['absent; extra == "more"', 'never; extra == "other"'])
    found = wrong(diagnosed(env, machine("9.0")))

    assert [(each.subject, each.severity, each.summary) for each in found] == [
        ("family", "error", "vllm 0.9.2 asks for torch==2.7.0, and 2.9.1 is installed"),
        (
            "packages",
            "error",
            "ray 2.0 asks for absent, which is missing; vllm 0.9.2 asks for numpy<2, and 2.1.0 is installed",
        ),
    ]
    assert found[1].fix == f"uv pip install --python .venv-gpu absent {quote('numpy<2')}"


def test_wheels_of_another_python_or_platform(env: Environment) -> None:
    sound(env).install("old", "1.0").install("other", "1.0").install("fits", "1.0")
    metadata = env.site / "old-1.0.dist-info/METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Python: <3.9\n")
    for name, tag in (("other", "cp311-cp311-win_amd64"), ("fits", "cp39-abi3-manylinux_2_28_x86_64")):
        (env.site / f"{name}-1.0.dist-info/WHEEL").write_text(f"Wheel-Version: 1.0\nTag: {tag}\n")
    (finding,) = [each for each in wrong(diagnosed(env, machine("9.0"))) if each.subject == "packages"]

    assert finding.summary == (
        "old 1.0 requires Python <3.9, and this is Python 3.12.4; "
        "other 1.0 is a wheel for cp311-cp311-win_amd64, which does not fit here"
    )


def test_a_lock_that_moved_on(env: Environment, tmp_path: Path) -> None:
    lock = tmp_path / "pylock.auto.toml"
    lock.write_text("changed")
    examination = examine(
        read_environment(sound(env).marked().path), environ=TOOLS, machine=machine("9.0"), lock_path=lock
    )
    (finding,) = wrong(diagnose_environment(examination, knowledge=KNOWN))

    assert finding.summary == "pylock.auto.toml has changed since this environment was built from it"


def test_no_torch(env: Environment) -> None:
    finding = the(diagnosed(env.install("numpy", "2.0.0").marked(), machine("9.0")), "torch")

    assert finding.severity == "error"


def test_torch_compile_needs_a_compiler_and_headers(env: Environment) -> None:
    """torch.compile / triton / ptxas: deepspeed-python-h"""
    sound(env).marked()
    (env.base / "include/python3.12/Python.h").unlink()
    first, second = wrong(diagnosed(env, machine("9.0"), environ={"PATH": ""}))

    assert "there is no C compiler" in first.summary
    assert second.summary.partition(",")[0] == "Python.h is missing"
    # Nothing says whose this interpreter is: one that carries its headers is fetched, and the environment built on it.
    assert second.fix == OTHER_PYTHON


@LINUX_PATHS
@pytest.mark.parametrize(
    ("system", "compiler", "headers"),
    [
        (("debian",), "sudo apt install gcc", "sudo apt install python3.12-dev"),
        (("linuxmint", "ubuntu", "debian"), "sudo apt install gcc", "sudo apt install python3.12-dev"),
        (("rocky", "rhel", "centos", "fedora"), "sudo dnf install gcc", "sudo dnf install python3.12-devel"),
        (("opensuse-tumbleweed", "opensuse", "suse"), "sudo zypper install gcc", "sudo zypper install python312-devel"),
        (("arch",), "sudo pacman -S gcc", "sudo pacman -S python"),
        (("slackware",), "Install a C compiler: gcc or clang", OTHER_PYTHON),
        ((), "Install a C compiler: gcc or clang", OTHER_PYTHON),
    ],
)
def test_a_compiler_and_headers_come_from_the_distributions_own_packages(
    env: Environment, system: tuple[str, ...], compiler: str, headers: str
) -> None:
    first, second = torch_compile(env, base="/usr/bin", system=system)

    assert (first.fix, first.by) == (compiler, "yourself")
    assert second.fix == headers


@pytest.mark.parametrize(
    ("base", "headers"),
    [
        ("/home/a/.local/share/uv/python/cpython-3.12.8-linux-x86_64-gnu/bin", "uv python install --reinstall 3.12.8"),
        ("/home/a/.local/share/uv/python/cpython-3.12-linux-x86_64-gnu/bin", "uv python install --reinstall 3.12"),
        ("/home/a/.pyenv/versions/3.12.8/bin", OTHER_PYTHON),
        ("/usr/local/bin", OTHER_PYTHON),
    ],
)
def test_headers_of_an_interpreter_that_no_distribution_installed(env: Environment, base: str, headers: str) -> None:
    assert torch_compile(env, base=base, system=("ubuntu", "debian"))[1].fix == headers


@LINKS
def test_an_interpreter_named_by_a_link_has_the_headers_of_its_place(env: Environment, tmp_path: Path) -> None:
    """/bin is a link to /usr/bin, and pyvenv.cfg may name either."""
    (tmp_path / "bin").symlink_to(env.base / "bin")
    facts = replace(read_environment(sound(env).marked().path), base=str(tmp_path / "bin"))

    assert has_headers(facts)


def torch_compile(env: Environment, *, base: str, system: tuple[str, ...]) -> list[Finding]:
    """What is said of torch.compile where both compiler and headers are missing."""
    found = examine(
        read_environment(sound(env).marked().path), environ={"PATH": ""}, machine=machine("9.0"), shown=".venv-gpu"
    )
    found = replace(found, facts=replace(found.facts, base=base), headers=False, distribution=system)
    findings = diagnose_environment(found, knowledge=KNOWN)
    return [each for each in findings if each.subject == "torch.compile"]


@pytest.mark.parametrize(("triton", "said"), [("3.5.0", True), ("3.6.0", False), ("9.9.9", False)])
def test_the_assembler_of_triton_has_to_know_the_card(env: Environment, triton: str, said: bool) -> None:
    """torch.compile / triton / ptxas: thor-ptxas-vllm. A version that nobody read is not judged."""
    env.torch("2.9.0+cu130", cuda="13.0", archs=BLACKWELL_WHEEL, requires=[f"triton=={triton}"])
    findings = diagnosed(env.install("triton", triton).marked(), machine("12.1"))
    found = [each for each in findings if "assembler" in each.summary]

    assert [(each.severity, f"triton {triton}" in each.summary) for each in found] == [("warning", True)] * said


def test_a_toolkit_of_another_major_version(env: Environment, tmp_path: Path) -> None:
    """companion needs matching local toolkit: deepspeed-nvcc-mismatch"""
    (tmp_path / "version.json").write_text('{"cuda": {"name": "CUDA SDK", "version": "11.7.1"}}')
    findings = diagnosed(sound(env).marked(), machine("9.0"), environ={**TOOLS, "CUDA_HOME": str(tmp_path)})

    assert the(findings, "toolkit").fix == unset("CUDA_HOME", "CUDA_PATH")


def test_every_wrong_finding_has_a_fix(env: Environment) -> None:
    env.torch("2.10.0+cu128", cuda="12.8", archs=("90",), requires=["triton==3.6.0", "nvidia-nccl-cu12==2.27"])
    env.install("torchvision", "0.25.0+cpu").install("nvidia-nccl-cu13", "2.28").install("flash-attn", "2+cu12torch2.7")
    findings = wrong(diagnosed(env, machine("12.0", driver="520.10", cuda="11.8"), environ={"PATH": ""}))

    assert len(findings) >= 7
    assert all(finding.fix for finding in findings)
    assert not any(finding.summary.endswith(".") for finding in findings)


def test_requirements_of_another_python_or_system_do_not_apply(env: Environment) -> None:
    asks = ['x; python_version < "3.9"', 'x; sys_platform == "win32"', "y>=1", "!!", 'z; extra == "more"']
    sound(env).install("y", "2.0").install("asker", "1.0", requires=asks).marked()

    assert wrong(diagnosed(env, machine("9.0"))) == []


def test_local_parts() -> None:
    assert [variant_in(text) for text in ("1+cu128", "1+cpu.gitabc", "1+xpu", "1", "1+ubuntu1")] == [
        "cu128",
        "cpu",
        "xpu",
        None,
        None,
    ]
    assert built_for("1.0+pt210cu128") == "2.10"
    assert built_for("1.0+cu128") is None
