"""No answer from NVML: what the rest of the machine says about it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gpuenv.machine.problem import DriverProblem
from support.detection import INIT, NO_LIBRARY, look, smi
from support.fake_nvml import FakeGpu, FakeMachine
from support.trees import Tree


def problem_of(tree: Tree) -> DriverProblem:
    problem = look(tree, NO_LIBRARY).problem
    assert problem is not None
    return problem


def test_a_card_without_any_driver(tmp_path: Path) -> None:
    problem = problem_of(Tree(tmp_path).bus().pci(driver="nouveau"))

    assert problem.kind == "driver-not-installed"
    assert "nouveau holds it" in problem.summary
    assert "(10de:2b85), bound to the kernel driver nouveau" in problem.causes[0]


def test_a_loaded_module_without_its_library(tmp_path: Path) -> None:
    problem = problem_of(Tree(tmp_path).bus().pci(driver="nvidia").module("550.54.14").nodes())

    assert problem.kind == "library-missing"
    assert "kernel module 550.54.14 (/sys/module/nvidia/version)" in problem.summary
    assert problem.hints[0].startswith("Install the user-space part of driver 550.54.14")


def test_a_library_off_the_path_of_the_loader(tmp_path: Path) -> None:
    tree = Tree(tmp_path).bus().pci(driver="nvidia").module().nodes()
    problem = problem_of(tree.write("run/opengl-driver/lib/libnvidia-ml.so.1", b"x"))

    assert problem.kind == "library-missing"
    assert problem.hints[0] == "export LD_LIBRARY_PATH=/run/opengl-driver/lib"


def test_wsl_with_its_library_off_the_path(tmp_path: Path) -> None:
    problem = problem_of(Tree(tmp_path).bus().wsl())

    assert problem.hints[0] == "export LD_LIBRARY_PATH=/usr/lib/wsl/lib"


def test_wsl_with_a_linux_driver_inside(tmp_path: Path) -> None:
    environ = FakeMachine(faults={INIT: 9}).environ(tmp_path / "driver")
    problem = look(Tree(tmp_path / "root").bus().wsl(), environ).problem

    assert problem is not None
    assert problem.kind == "driver-not-loaded"
    assert problem.hints[0].startswith("Remove the Linux driver from WSL")


def test_wsl_with_a_card_of_another_make(tmp_path: Path) -> None:
    detection = look(Tree(tmp_path).bus().wsl(nvidia=False), NO_LIBRARY)

    assert detection.problem is None
    assert detection.notes[0].startswith("Windows passes a GPU through (/dev/dxg) without NVIDIA's libraries")


def test_a_container_that_was_not_given_the_gpu(tmp_path: Path) -> None:
    problem = problem_of(Tree(tmp_path).bus().pci(driver="nvidia").module("580.65.06").docker())

    assert problem.kind == "container-without-gpu"
    assert "(driver 580.65.06 (/sys/module/nvidia/version))" in problem.summary
    assert "docker run --gpus all" in problem.hints[0]
    assert "gpuenv create --profile cpu" in problem.advice[-1]
    assert problem.by == "the host's owner"


def test_a_container_on_a_host_whose_bus_is_hidden(tmp_path: Path) -> None:
    assert problem_of(Tree(tmp_path / "none").module().docker()).kind == "container-without-gpu"
    assert problem_of(Tree(tmp_path / "empty").bus().module().docker()).kind == "container-without-gpu"


@pytest.mark.parametrize(("code", "kind"), [(18, "version-mismatch"), (4, "no-permission"), (15, "gpu-lost")])
def test_codes_that_only_a_driver_with_a_card_gives(tmp_path: Path, code: int, kind: str) -> None:
    """Nothing else on the machine points to a card: still no reason to believe that there is none."""
    problem = look(Tree(tmp_path / "root").bus(), FakeMachine(faults={INIT: code}).environ(tmp_path / "driver")).problem

    assert problem is not None
    assert problem.kind == kind


@pytest.mark.parametrize("code", [9, 12, 17, 999])
def test_a_container_with_libraries_and_no_devices(tmp_path: Path, code: int) -> None:
    environ = FakeMachine(faults={INIT: code}).environ(tmp_path / "driver")
    problem = look(Tree(tmp_path / "root").bus().pci(driver="nvidia").module().docker(), environ).problem

    assert problem is not None
    assert problem.kind == "container-without-gpu"


def test_a_container_that_lost_its_devices(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root").bus().pci(driver="nvidia").module().nodes().docker()
    problem = look(tree, FakeMachine(faults={INIT: 999}).environ(tmp_path / "driver")).problem

    assert problem is not None
    assert problem.kind == "devices-lost"
    assert "Restart the container" in problem.hints[0]


def test_a_container_with_driver_libraries_of_its_own(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root").bus().pci(driver="nvidia").module("515.48.07").nodes().docker()
    environ = FakeMachine(faults={INIT: 18}, library_version="515.65.01").environ(tmp_path / "driver")
    problem = look(tree, environ).problem

    assert problem is not None
    assert "module 515.48.07 (/sys/module/nvidia/version), library 515.65.01" in problem.summary
    assert problem.hints[0].startswith("Remove the driver packages (libnvidia-*, libcuda*) from the image")


def test_an_image_with_a_driver_on_a_machine_without_a_card(tmp_path: Path) -> None:
    environ = FakeMachine(faults={INIT: 9}).environ(tmp_path / "driver")
    detection = look(Tree(tmp_path / "root").bus(), environ)

    assert (detection.problem, detection.machine.driver) == (None, None)
    assert "the PCI bus holds no NVIDIA GPU" in detection.notes[0]


def test_a_card_given_to_a_virtual_machine_is_not_ours(tmp_path: Path) -> None:
    assert look(Tree(tmp_path).bus().pci(driver="vfio-pci"), NO_LIBRARY).problem is None


def test_a_module_that_is_not_built_for_the_kernel(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root").bus().pci()
    tree.write("lib/modules/6.8.0-51-generic/modules.dep", "kernel/fs/ext4.ko:\n")
    problem = look(tree, FakeMachine(faults={INIT: 9}).environ(tmp_path / "driver")).problem

    assert problem is not None
    assert "no nvidia module is built for kernel 6.8.0-51-generic (modules.dep)" in problem.causes
    assert "sudo dkms autoinstall" in problem.hints[0]


def test_a_module_that_secure_boot_refuses(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root").bus().pci()
    tree.write("sys/firmware/efi/efivars/SecureBoot-8be4df61", b"\6\0\0\0\1")
    problem = look(tree, FakeMachine(faults={INIT: 9}).environ(tmp_path / "driver")).problem

    assert problem is not None
    assert "mokutil" in problem.hints[0]


def test_a_jetson_without_nvml(tmp_path: Path) -> None:
    problem = problem_of(Tree(tmp_path).write("proc/device-tree/compatible", b"nvidia,p3767\0nvidia,tegra234\0"))

    assert problem.kind == "jetson"
    assert "tegra234" in problem.summary


def test_nvidia_smi_in_place_of_nvml(tmp_path: Path) -> None:
    row = f"390.157, 0, {FakeGpu().uuid}, 00000000:01:00.0, 11178, NVIDIA GeForce GTX 1080 Ti"
    script = f"""case "$1" in
*compute_cap*) echo 'Field "compute_cap" is not a valid field to query.'; exit 2;;
*mig*) echo 'Field "mig.mode.current" is not a valid field to query.'; exit 2;;
*) echo "{row}";;
esac"""
    smi(tmp_path / "bin", script)
    tree = Tree(tmp_path / "root").bus().pci(driver="nvidia").module("390.157").nodes()
    detection = look(tree, {"PATH": str(tmp_path / "bin")})

    assert detection.problem is None
    assert str(detection.machine.gpus[0].compute_capability) == "6.1"
    assert dict(detection.machine.sources)["gpus[0].uuid"] == "nvidia-smi"
    assert detection.notes[0].startswith("nvidia-smi answered in place of NVML")


@pytest.mark.parametrize(
    "script",
    ["echo No devices were found; exit 6", "exit 255", "sleep 60", "echo '[N/A]'", "kill -9 $$", "printf '\\377\\376'"],
)
def test_nvidia_smi_that_does_not_help_changes_nothing(tmp_path: Path, script: str) -> None:
    smi(tmp_path / "bin", script)
    tree = Tree(tmp_path / "root").bus().pci(driver="nvidia").module().nodes()
    limit = 1.5 if script.startswith("sleep") else 60.0  # only one of them is to reach it, however busy the machine is
    problem = look(tree, {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}, timeout=limit).problem

    assert problem is not None
    assert problem.kind == "library-missing"


def test_a_process_that_never_begins_is_no_driver_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(slow))
    tree = Tree(tmp_path / "root").bus().pci(driver="nvidia").module().nodes()
    problem = look(tree, {"PATH": "/nowhere"}, timeout=1.0).problem

    assert problem is not None
    assert problem.kind == "unknown"
    assert "in time" in problem.summary
    assert "had not begun after" in problem.causes[0]


def test_nvidia_smi_alone_on_a_machine_that_shows_nothing_else(tmp_path: Path) -> None:
    row = f"576.88, 0, {FakeGpu().uuid}, 00000000:01:00.0, 32607, [N/A], 12.0, NVIDIA GeForce RTX 5090"
    smi(tmp_path / "bin", f'echo "{row}"')
    detection = look(Tree(tmp_path / "root").bus(), {"PATH": str(tmp_path / "bin")})

    assert detection.machine.driver is not None
    assert (detection.machine.driver.version, detection.machine.driver.source) == ("576.88", "nvidia-smi")
