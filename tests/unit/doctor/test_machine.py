"""What the doctor says of a machine, over detections made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.doctor.finding import Finding
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.machine import linux
from gpuenv.machine.conclusion import conclude
from gpuenv.machine.detect import Detection
from gpuenv.machine.nvml import NvmlAnswer, NvmlFailure, NvmlGpu
from gpuenv.machine.problem import Evidence, Remains
from gpuenv.machine.smi import SmiAnswer
from gpuenv.model.machine import ComputeCapability
from support.trees import Tree

KNOWN = knowledge.load()
H200 = NvmlGpu(
    index=0,
    uuid="GPU-13dc0000-0000-4000-8000-000000000000",
    name="NVIDIA H200",
    compute_capability=ComputeCapability(9, 0),
    memory_bytes=150754820096,
    fabric=0,
)
ANSWER = NvmlAnswer(ending="answered", driver="580.159.04", cuda="13.0", gpus=(H200,))
NOT_FOUND = NvmlAnswer(ending="refused", failure=NvmlFailure(function="nvmlInit", code=12, text="Not Found"))


def seen(tree: Tree, answer: NvmlAnswer, *, smi: SmiAnswer | None = None, remains: Remains | None = None) -> Detection:
    evidence = Evidence(host=linux.read_host(tree.root), answer=answer, smi=smi, remains=remains or Remains())
    return conclude(evidence, system="linux", arch="x86_64", environ={})


def on_windows(answer: NvmlAnswer, *adapters: str) -> Detection:
    evidence = Evidence(host=None, answer=answer, smi=None, remains=Remains(), adapters=adapters)
    return conclude(evidence, system="windows", arch="x86_64", environ={})


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path).bus().pci(device="0x2335", driver="nvidia").module("580.159.04", opened=True).nodes()


def judge(detection: Detection, **environ: str) -> tuple[Finding, ...]:
    return diagnose_machine(detection, knowledge=KNOWN, environ=environ)


def wrong(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "ok"]


def test_a_sound_machine(tree: Tree) -> None:
    findings = judge(seen(tree, ANSWER))

    assert wrong(findings) == []
    assert [finding.summary for finding in findings] == [
        "linux x86_64, glibc 2.39",
        "NVIDIA driver 580.159.04, knows CUDA 13.0",
        "NVIDIA H200, compute capability 9.0, 140 GiB",
    ]


def test_no_gpu_is_in_order(tmp_path: Path) -> None:
    findings = judge(seen(Tree(tmp_path).bus(), NOT_FOUND))

    assert wrong(findings) == []
    assert findings[1].summary.startswith("there is no NVIDIA GPU in this machine")


def test_a_broken_driver_comes_first_with_its_command(tree: Tree) -> None:
    mismatch = NvmlAnswer(ending="refused", failure=NvmlFailure(function="nvmlInit", code=18, text="mismatch"))
    (finding,) = wrong(judge(seen(tree, mismatch)))

    assert (finding.severity, finding.mend) == ("error", "sudo reboot")
    assert finding.detail.startswith("nvmlInit returned 18: mismatch; ")


def test_one_lost_card_is_a_warning(tree: Tree) -> None:
    lost = NvmlGpu(index=1, failures=(("handle", NvmlFailure(function="nvmlX", code=15, text="GPU is lost")),))
    (finding,) = wrong(judge(seen(tree, replace(ANSWER, gpus=(H200, lost)))))

    assert (finding.severity, finding.summary, finding.mend) == (
        "warning",
        "GPU 1 has fallen off the bus",
        "sudo reboot",
    )


@pytest.mark.parametrize(
    ("device", "driver", "opened", "says"),
    [
        ("0x1b06", "590.44.01", True, "driver 590.44.01 no longer serves"),  # driver590-drops-pascal
        ("0x2b85", "535.183.01", True, "driver 535.183.01 does not know"),
        ("0x2b85", "575.51.02", False, "needs the open flavour of the kernel module"),  # kernel module flavour
    ],
)
def test_a_driver_that_does_not_serve_the_card(
    tmp_path: Path, device: str, driver: str, opened: bool, says: str
) -> None:
    tree = Tree(tmp_path).bus().pci(device=device, driver="nvidia").module(driver, opened=opened).nodes()
    findings = wrong(judge(seen(tree, NvmlAnswer(ending="answered", driver=driver))))

    assert findings[0].summary == f"driver {driver} (NVML) runs, and finds no GPU that it can use"
    assert [says in finding.summary for finding in findings] == [False, True]
    assert findings[1].mend


def test_a_fabric_that_has_not_come_up(tree: Tree) -> None:
    """fabric manager: err802-aws"""
    (finding,) = wrong(judge(seen(tree, replace(ANSWER, gpus=(replace(H200, fabric=1),)))))

    assert (finding.severity, finding.mend) == ("error", "sudo systemctl enable --now nvidia-fabricmanager")


def test_libcuda_of_a_compatibility_package(tree: Tree) -> None:
    """container: err804-old-driver-container, err804-gpustack"""
    (finding,) = wrong(judge(seen(tree, replace(ANSWER, libcuda="/usr/local/cuda/compat/libcuda.so.590.10.01"))))

    assert finding.summary == "libcuda is of 590.10.01, the driver of 580.159.04: a compatibility package is in use"


def test_one_of_two_cards_in_mig_mode_without_devices(tree: Tree) -> None:
    empty = replace(H200, index=1, uuid="GPU-2", mig=True, slices=0)
    (finding,) = wrong(judge(seen(tree, replace(ANSWER, gpus=(H200, empty)))))

    assert finding.mend == "sudo nvidia-smi mig -i 1 -cgi 0 -C"


@pytest.mark.parametrize(
    ("mask", "severity"),
    [
        ("", "error"),
        ("-1", "error"),
        ("2", "error"),
        ("GPU-ffff", "error"),
        ("1,7,0", "warning"),
        ("GPU-13dc", "warning"),
        ("0,1", None),
    ],
)
def test_masks(tree: Tree, mask: str, severity: str | None) -> None:
    """CUDA_VISIBLE_DEVICES / scheduler"""
    two = replace(ANSWER, gpus=(H200, replace(H200, index=1, uuid="GPU-22220000-0000-4000-8000-000000000000")))
    found = wrong(judge(seen(tree, two), CUDA_VISIBLE_DEVICES=mask))

    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_musl_has_no_wheels(tree: Tree) -> None:
    (tree.root / "lib/x86_64-linux-gnu/libc.so.6").unlink()
    tree.write("lib/ld-musl-x86_64.so.1", b"\0" + b"1.2.5\0")
    (finding,) = wrong(judge(seen(tree, ANSWER)))

    assert finding.summary == "PyTorch has no wheels for musl 1.2"


def test_windows_with_a_card_and_no_driver() -> None:
    detection = on_windows(NOT_FOUND, "VEN_10DE&DEV_2B85&SUBSYS_1")

    assert detection.problem is not None
    assert detection.problem.kind == "library-missing"
    assert "Windows lists a display adapter VEN_10DE&DEV_2B85" in detection.problem.causes[0]
    assert wrong(judge(detection))[0].severity == "error"


def test_windows_without_a_card() -> None:
    assert on_windows(NOT_FOUND).problem is None


def test_windows_with_a_card() -> None:
    machine = on_windows(ANSWER).machine

    assert (machine.os, machine.libc, len(machine.gpus)) == ("windows", None, 1)
