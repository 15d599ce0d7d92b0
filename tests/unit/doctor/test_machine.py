"""What the doctor says of a machine, over detections made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from gpuenv import knowledge
from gpuenv.doctor.cards import CODES, UNKNOWN
from gpuenv.doctor.finding import Finding
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.knowledge.scheduler import schedulers
from gpuenv.machine import linux
from gpuenv.machine.conclusion import conclude
from gpuenv.machine.cuda import Checkup, CudaAnswer
from gpuenv.machine.detection import Detection
from gpuenv.machine.linux import Remains
from gpuenv.machine.nvml import NvmlAnswer, NvmlFailure, NvmlGpu
from gpuenv.machine.origin import CdiSpec, Origin
from gpuenv.machine.problem import Evidence
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


def seen(
    tree: Tree,
    answer: NvmlAnswer,
    *,
    smi: SmiAnswer | None = None,
    remains: Remains | None = None,
    environ: dict[str, str] | None = None,
) -> Detection:
    evidence = Evidence(
        host=linux.read_host(tree.root),
        answer=answer,
        smi=smi,
        remains=remains or Remains(),
        jobs=schedulers(environ or {}),
    )
    return conclude(evidence, system="linux", arch="x86_64", environ=environ or {})


def on_windows(answer: NvmlAnswer, *adapters: str) -> Detection:
    evidence = Evidence(host=None, answer=answer, smi=None, remains=Remains(), adapters=adapters)
    return conclude(evidence, system="windows", arch="x86_64", environ={})


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path).bus().pci(device="0x2335", driver="nvidia").module("580.159.04", opened=True).nodes()


def diagnosed(detection: Detection, checkup: Checkup | None = None, **environ: str) -> tuple[Finding, ...]:
    return diagnose_machine(detection, knowledge=KNOWN, environ=environ, checkup=checkup)


def wrong(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "ok"]


def test_a_sound_machine(tree: Tree) -> None:
    findings = diagnosed(seen(tree, ANSWER))

    assert wrong(findings) == []
    assert [finding.summary for finding in findings] == [
        "linux x86_64, glibc 2.39",
        "NVIDIA driver 580.159.04, knows CUDA 13.0",
        "NVIDIA H200, compute capability 9.0, 140 GiB",
    ]


def test_no_gpu_is_in_order(tmp_path: Path) -> None:
    findings = diagnosed(seen(Tree(tmp_path).bus(), NOT_FOUND))

    assert wrong(findings) == []
    assert findings[1].summary.startswith("there is no NVIDIA GPU in this machine")


def test_a_broken_driver_comes_first_with_its_command(tree: Tree) -> None:
    mismatch = NvmlAnswer(ending="refused", failure=NvmlFailure(function="nvmlInit", code=18, text="mismatch"))
    (finding,) = wrong(diagnosed(seen(tree, mismatch)))

    assert (finding.severity, finding.fix) == ("error", "sudo reboot")
    assert finding.detail.startswith("nvmlInit returned 18: mismatch; ")


def test_one_lost_card_is_an_error_beside_sound_ones(tree: Tree) -> None:
    lost = NvmlGpu(index=1, failures=(("handle", NvmlFailure(function="nvmlX", code=15, text="GPU is lost")),))
    (finding,) = wrong(diagnosed(seen(tree, replace(ANSWER, gpus=(H200, lost)))))

    assert (finding.severity, finding.summary, finding.fix) == (
        "error",
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
    findings = wrong(diagnosed(seen(tree, NvmlAnswer(ending="answered", driver=driver))))

    assert findings[0].summary == f"driver {driver} (NVML) runs, and finds no GPU that it can use"
    assert [says in finding.summary for finding in findings] == [False, True]
    assert findings[1].fix


def test_a_fabric_that_has_not_come_up(tree: Tree) -> None:
    """fabric manager: err802-aws"""
    (finding,) = wrong(diagnosed(seen(tree, replace(ANSWER, gpus=(replace(H200, fabric=1),)))))

    assert (finding.severity, finding.fix) == ("error", "sudo systemctl enable --now nvidia-fabricmanager")


def test_libcuda_of_a_compatibility_package(tree: Tree) -> None:
    """container: err804-old-driver-container, err804-gpustack"""
    (finding,) = wrong(diagnosed(seen(tree, replace(ANSWER, libcuda="/usr/local/cuda/compat/libcuda.so.590.10.01"))))

    assert finding.summary == "libcuda is of 590.10.01, the driver of 580.159.04: a compatibility package is in use"


def test_one_of_two_cards_in_mig_mode_without_devices(tree: Tree) -> None:
    empty = replace(H200, index=1, uuid="GPU-2", mig=True, slices=0)
    (finding,) = wrong(diagnosed(seen(tree, replace(ANSWER, gpus=(H200, empty)))))

    assert finding.fix == "sudo nvidia-smi mig -i 1 -cgi 0 -C"


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
    found = wrong(diagnosed(seen(tree, two), CUDA_VISIBLE_DEVICES=mask))

    assert [finding.severity for finding in found] == ([severity] if severity else [])


def test_musl_has_no_wheels(tree: Tree) -> None:
    (tree.root / "lib/x86_64-linux-gnu/libc.so.6").unlink()
    tree.write("lib/ld-musl-x86_64.so.1", b"\0" + b"1.2.5\0")
    (finding,) = wrong(diagnosed(seen(tree, ANSWER)))

    assert finding.summary == "PyTorch has no wheels for musl 1.2"


def test_windows_with_a_card_and_no_driver() -> None:
    detection = on_windows(NOT_FOUND, "VEN_10DE&DEV_2B85&SUBSYS_1")

    assert detection.problem is not None
    assert detection.problem.kind == "library-missing"
    assert "Windows lists a display adapter VEN_10DE&DEV_2B85" in detection.problem.causes[0]
    assert wrong(diagnosed(detection))[0].severity == "error"


def test_windows_with_a_library_that_is_of_another_kind() -> None:
    why = "C:\\Windows\\System32\\nvml.dll: [WinError 193] %1 is not a valid Win32 application"
    detection = on_windows(replace(NOT_FOUND, loader=why), "VEN_10DE&DEV_2B85&SUBSYS_1")

    assert detection.problem is not None
    assert detection.problem.causes[0] == f"the loader says: {why}"
    assert why in wrong(diagnosed(detection))[0].detail


def test_windows_without_a_card() -> None:
    assert on_windows(NOT_FOUND).problem is None


def test_windows_with_a_card() -> None:
    machine = on_windows(ANSWER).machine

    assert (machine.os, machine.libc, len(machine.gpus)) == ("windows", None, 1)


@pytest.mark.parametrize("init", [*CODES, UNKNOWN, 3])
@pytest.mark.parametrize("ending", ["answered", "hung", "crashed"])
def test_windows_is_told_nothing_of_linux(init: int, ending: Literal["answered", "hung", "crashed"]) -> None:
    detection, asked = on_windows(ANSWER), CudaAnswer(ending=ending, init=init)
    (finding,) = wrong(diagnosed(detection, Checkup(cuda=asked)))

    assert finding.fix
    assert not any(word in finding.fix for word in ("sudo", "grep", "export "))


def test_windows_refuses_a_card_and_its_mode(tree: Tree) -> None:
    prohibited = on_windows(replace(ANSWER, gpus=(replace(H200, mode=2),)))
    assert wrong(diagnosed(prohibited))[0].fix == "nvidia-smi -i 0 -c DEFAULT"
    assert wrong(diagnosed(seen(tree, replace(ANSWER, gpus=(replace(H200, mode=2),)))))[0].fix.startswith("sudo ")


SLURM = {"SLURM_JOB_ID": "4711"}
PATH = Origin(way="LD_LIBRARY_PATH", where="/opt/compat", left=("/opt/tool/lib",))


def test_a_fabric_in_a_container_is_the_hosts(tree: Tree) -> None:
    (finding,) = wrong(diagnosed(seen(tree.docker(), replace(ANSWER, gpus=(replace(H200, fabric=1),)))))

    assert finding.by == "the host's owner"
    assert finding.check


def test_mig_without_a_slice_is_said_once(tree: Tree) -> None:
    empty = replace(H200, mig=True, slices=0)
    (finding,) = wrong(diagnosed(seen(tree, replace(ANSWER, gpus=(empty,)))))

    assert finding.fix == "sudo nvidia-smi mig -cgi 0 -C"


def test_a_card_that_answers_999_beside_a_sound_one(tree: Tree) -> None:
    sick = NvmlGpu(index=1, failures=(("handle", NvmlFailure(function="nvmlX", code=999, text="Unknown")),))
    (finding,) = wrong(diagnosed(seen(tree, replace(ANSWER, gpus=(H200, sick)))))

    assert (finding.severity, finding.by) == ("error", "yourself")
    assert "nvidia_uvm" in finding.fix


@pytest.mark.parametrize(
    ("name", "version", "severity", "says"),
    [
        ("NVIDIA H200", "580.126.09", "error", "older than driver 595.58.03: CUDA fails with error 803 on every card"),
        ("NVIDIA GeForce RTX 4090", "580.126.09", "error", "error 803 on every card"),
        ("NVIDIA GeForce RTX 4090", "610.43.02", "error", "a compatibility package is in use"),
        ("NVIDIA H200", "610.43.02", "warning", "a compatibility package is in use"),
        ("NVIDIA RTX A6000", "610.43.02", "warning", "a compatibility package is in use"),
    ],
)
def test_libcuda_of_another_version(tree: Tree, name: str, version: str, severity: str, says: str) -> None:
    answer = replace(
        ANSWER, driver="595.58.03", libcuda=f"/opt/compat/libcuda.so.{version}", gpus=(replace(H200, name=name),)
    )
    (finding,) = wrong(diagnosed(seen(tree, answer), Checkup(origin=PATH)))

    assert finding.severity == severity
    assert says in finding.summary
    assert finding.fix == "export LD_LIBRARY_PATH=/opt/tool/lib"
    assert "LD_LIBRARY_PATH holds /opt/compat" in finding.detail


@pytest.mark.parametrize(
    ("origin", "fix", "by"),
    [
        (Origin(way="LD_PRELOAD", where="/opt/compat/libcuda.so.1"), "unset LD_PRELOAD", ""),
        (
            Origin(way="ld.so.conf", where="/etc/ld.so.conf.d/000_cuda.conf"),
            "sudo rm /etc/ld.so.conf.d/000_cuda.conf && sudo ldconfig",
            "yourself",
        ),
        (
            Origin(way="ld.so.conf", where="/etc/ld.so.conf", left=("/usr/local/lib",)),
            "Take the folder out of /etc/ld.so.conf, then run `sudo ldconfig`",
            "yourself",
        ),
        (Origin(way="mount", where="/usr/lib64/libcuda.so.590.10.01"), "nvidia-ctk cdi generate", "the host's owner"),
        (Origin(way="folder", where="/usr/lib64"), "same version as the driver", "yourself"),
    ],
)
def test_what_brings_a_library_in_takes_it_out(tree: Tree, origin: Origin, fix: str, by: str) -> None:
    answer = replace(ANSWER, libcuda="/opt/compat/libcuda.so.590.10.01")
    (finding,) = wrong(diagnosed(seen(tree, answer), Checkup(origin=origin)))

    assert fix in finding.fix
    assert finding.by == by


def test_a_stub_first_on_the_path(tree: Tree) -> None:
    asked = CudaAnswer(ending="answered", init=34, library="/usr/local/cuda/lib64/stubs/libcuda.so")
    origin = Origin(way="LD_LIBRARY_PATH", where="/usr/local/cuda/lib64/stubs")
    (finding,) = wrong(diagnosed(seen(tree, ANSWER), Checkup(cuda=asked, origin=origin)))

    assert finding.severity == "error"
    assert "is a stub for linking" in finding.summary
    assert finding.fix == "unset LD_LIBRARY_PATH"


@pytest.mark.parametrize("name", ["wsl/lib/libcuda.so.1.1", "aarch64-linux-gnu/nvidia/libcuda.so.1.1"])
def test_a_library_whose_name_tells_no_driver(tree: Tree, name: str) -> None:
    assert wrong(diagnosed(seen(tree, replace(ANSWER, libcuda=f"/usr/lib/{name}")))) == []


def test_a_container_interface_of_the_driver_before(tree: Tree) -> None:
    specs = (CdiSpec(file="/etc/cdi/nvidia.yaml", driver="575.51.03"), CdiSpec(file="/run/cdi/n", driver="580.159.04"))
    (finding,) = wrong(diagnosed(seen(tree, ANSWER), Checkup(cdi=specs)))

    assert finding.fix == "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"


@pytest.mark.parametrize(
    ("init", "says"),
    [
        (999, "often so after the machine slept"),
        (802, "the NVSwitch fabric is not up"),
        (803, "of different versions"),
        (805, "the daemon of the Multi-Process Service does not answer"),
        (3, "CUDA does not start (error 3) though NVML answers"),
        (100, "CUDA counts no GPU, and NVML lists 1"),
    ],
)
def test_cuda_that_does_not_start_where_nvml_answers(tree: Tree, init: int, says: str) -> None:
    (finding,) = wrong(diagnosed(seen(tree, ANSWER), Checkup(cuda=CudaAnswer(ending="answered", init=init))))

    assert finding.severity == "error"
    assert says in finding.summary
    assert finding.fix


def test_sleep_and_the_module_that_did_not_wake(tree: Tree) -> None:
    """CUDA error 999 after sleep: reload nvidia_uvm by hand, and see that it worked."""
    (finding,) = wrong(diagnosed(seen(tree, ANSWER), Checkup(cuda=CudaAnswer(ending="answered", init=999))))

    assert finding.fix == "sudo rmmod nvidia_uvm && sudo modprobe nvidia_uvm"
    assert (finding.by, finding.check) == ("yourself", "`gpuenv doctor` no longer names it")


@pytest.mark.parametrize(("contained", "fix"), [(False, "sudo nvidia-modprobe -u -c 0"), (True, "/dev/nvidia-uvm")])
def test_a_missing_device_node(tmp_path: Path, contained: bool, fix: str) -> None:
    tree = Tree(tmp_path).bus().pci(device="0x2335", driver="nvidia").module("580.159.04").nodes("nvidiactl", "nvidia0")
    tree = tree.docker() if contained else tree
    asked = CudaAnswer(ending="answered", init=999)
    (finding,) = wrong(diagnosed(seen(tree, ANSWER), Checkup(cuda=asked)))

    assert (finding.severity, finding.by) == ("error", "the host's owner" if contained else "yourself")
    assert fix in finding.fix


def test_a_node_that_the_library_makes_when_it_is_needed(tmp_path: Path) -> None:
    """On a bare machine nvidia-modprobe makes the node at the first start of CUDA: if that worked, nothing is wrong."""
    tree = Tree(tmp_path).bus().pci(device="0x2335", driver="nvidia").module("580.159.04").nodes("nvidiactl", "nvidia0")

    assert wrong(diagnosed(seen(tree, ANSWER), Checkup(cuda=CudaAnswer(ending="answered", init=0)))) == []


@pytest.mark.parametrize(
    ("mode", "mps", "severity", "says"),
    [
        (2, "", "error", "compute mode Prohibited"),
        (3, "", "warning", "exclusive compute mode"),
        (3, "/pipe", None, ""),
        (0, "", None, ""),
    ],
)
def test_compute_modes(tree: Tree, mode: int, mps: str, severity: str | None, says: str) -> None:
    found = wrong(diagnosed(seen(tree, replace(ANSWER, gpus=(replace(H200, mode=mode),))), Checkup(mps=mps)))

    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert all(says in finding.summary for finding in found)


def test_a_virtual_gpu_without_its_licence(tree: Tree) -> None:
    (finding,) = wrong(diagnosed(seen(tree, replace(ANSWER, gpus=(replace(H200, licensed=False),)))))

    assert "without a licence" in finding.summary
    assert wrong(diagnosed(seen(tree, replace(ANSWER, gpus=(replace(H200, licensed=True),))))) == []


def test_a_card_held_by_another_process(tree: Tree) -> None:
    asked = CudaAnswer(ending="answered", init=0, starts=((H200.uuid or "", 46),))
    (finding,) = wrong(diagnosed(seen(tree, ANSWER), Checkup(cuda=asked)))

    assert "another process holds the GPU for itself" in finding.summary


TWO = replace(ANSWER, gpus=(H200, replace(H200, index=1, uuid="GPU-22220000-0000-4000-8000-000000000000")))


def test_what_slurm_gave_is_in_order(tree: Tree) -> None:
    environ = {**SLURM, "CUDA_VISIBLE_DEVICES": "1"}
    findings = diagnosed(seen(tree, TWO, environ=environ), **environ)

    assert wrong(findings) == []
    assert "Slurm job 4711 was given 1 of the 2 GPUs seen here" in [finding.summary for finding in findings]


@pytest.mark.parametrize(
    ("environ", "says", "option"),
    [
        ({**SLURM, "CUDA_VISIBLE_DEVICES": ""}, "this Slurm job 4711 was given no GPU", "--gres=gpu:1"),
        ({**SLURM, "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, "this Slurm job 4711 was given no GPU", "--gres=gpu:1"),
        ({**SLURM, "SLURM_GPUS_ON_NODE": "0"}, "this Slurm job 4711 was given no GPU", "--gres=gpu:1"),
        ({"RAY_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": ""}, "this Ray worker was given no GPU", "num_gpus=1"),
        ({"PBS_JOBID": "1", "CUDA_VISIBLE_DEVICES": ""}, "this PBS job 1 was given no GPU", "ngpus=1"),
    ],
)
def test_what_a_scheduler_did_not_give_is_never_taken(
    tree: Tree, environ: dict[str, str], says: str, option: str
) -> None:
    (finding,) = wrong(diagnosed(seen(tree, TWO, environ=environ), **environ))

    assert finding.summary == says
    assert option in finding.fix
    assert "unset" not in finding.fix


def test_a_list_that_counts_otherwise_than_the_control_group(tree: Tree) -> None:
    environ = {**SLURM, "CUDA_VISIBLE_DEVICES": "2"}
    (finding,) = wrong(diagnosed(seen(tree, ANSWER, environ=environ), **environ))

    assert finding.by == "the site's administrator"
    assert "set CUDA_VISIBLE_DEVICES=2" in finding.summary
