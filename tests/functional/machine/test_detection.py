"""Detection through the real pynvml in the real child, against a stand-in for the driver's library."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.errors import DriverError
from gpuenv.machine.detect import require
from gpuenv.machine.file import parse_machine
from gpuenv.model.machine import ComputeCapability, Driver
from support.detection import INIT, NO_LIBRARY, look, smi
from support.fake_nvml import H200, FakeGpu, FakeMachine
from support.trees import Tree

CUDA = "nvmlSystemGetCudaDriverVersion_v2"
HANDLE = "nvmlDeviceGetHandleByIndex_v2"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """A bare machine with one card, its driver loaded."""
    tree = Tree(tmp_path / "root").bus().pci(driver="nvidia").module().nodes()
    return tree.card("0000:01:00.0", name="NVIDIA GeForce RTX 5090", uuid=FakeGpu().uuid)


@pytest.fixture
def libraries(tmp_path: Path) -> Path:
    return tmp_path / "driver"


def test_a_sound_machine(tree: Tree, libraries: Path) -> None:
    two = FakeMachine(gpus=(FakeGpu(), H200), libcuda="570.86.10")
    detection = look(tree, two.environ(libraries))
    machine = detection.machine

    assert (detection.problem, detection.notes, detection.partial) == (None, (), ())
    assert require(detection) is machine
    assert machine.driver == Driver(version="570.86.10", cuda="12.8", source="nvml")
    assert [str(gpu.compute_capability) for gpu in machine.gpus] == ["12.0", "9.0"]
    assert [gpu.memory_bytes for gpu in machine.gpus] == [34190917632, 150754820096]
    assert (machine.os, machine.libc, machine.wsl, machine.container) == ("linux", "glibc 2.39", False, False)
    sources = dict(machine.sources)
    assert sources["gpus[1].compute_capability"] == "nvml"
    assert sources["driver.cuda"] == f"nvml, from {libraries}/libcuda.so.570.86.10"
    assert list(sources) == sorted(sources)
    assert parse_machine(json.dumps(machine.to_json()), origin="m") == machine


def test_no_gpu_is_no_problem(tmp_path: Path) -> None:
    detection = look(Tree(tmp_path).bus(), NO_LIBRARY)

    assert (detection.problem, detection.notes) == (None, ())
    assert (detection.machine.driver, detection.machine.gpus) == (None, ())


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (12, "library-missing", "the user-space library of the loaded kernel module 570.86.10"),
        (13, "library-outdated", "lacks the functions that every supported driver has"),
        (9, "driver-not-loaded", "the driver's library cannot reach the loaded kernel module"),
        (18, "version-mismatch", "module 570.86.10 (/sys/module/nvidia/version), library 570.133.7 ("),
        (4, "no-permission", "this user may not use the NVIDIA driver"),
        (17, "blocked", "the operating system blocks access to the NVIDIA driver"),
        (999, "unknown", "the NVIDIA driver answers with an unknown error"),
        (15, "gpu-lost", "a GPU has fallen off the bus"),
        (16, "reset-required", "a GPU must be reset"),
        (8, "insufficient-power", "a GPU has no external power"),
        (11, "interrupt", "a GPU gets no interrupts"),
        (14, "gpu-unreadable", "a GPU does not say what it is"),
        (3, "gpu-unreadable", "a GPU does not say what it is"),
        (28, "no-device", "driver 570.86.10 (NVML) runs, and finds no GPU"),
        (20, "busy", "the NVIDIA driver could not answer, asked twice"),
        (23, "busy", "could not answer"),
        (10, "busy", "could not answer"),
        (19, "busy", "could not answer"),
        (27, "busy", "could not answer"),
        (29, "busy", "could not answer"),
        (4242, "gpu-unreadable", "a GPU does not say what it is"),
        ("hang", "hang", "the NVIDIA driver hangs when it is asked"),
        ("abort", "crash", "library crashes when it is asked"),
        ("segv", "crash", "library crashes when it is asked"),
    ],
)
def test_init_that_fails(tree: Tree, libraries: Path, fault: int | str, kind: str, says: str) -> None:
    machine = FakeMachine(faults={INIT: fault, "nvmlInit_v2": fault}, library_version="570.133.7")
    detection = look(tree, machine.environ(libraries), timeout=1.0 if fault == "hang" else 20.0)
    problem = detection.problem

    assert problem is not None
    assert problem.kind == kind
    assert says in problem.summary
    assert problem.causes
    assert problem.hints
    assert not problem.summary.endswith(".")
    assert detection.machine.driver == Driver(version="570.86.10", cuda=None, source="/sys/module/nvidia/version")
    with pytest.raises(DriverError, match=r".") as caught:
        require(detection)
    assert caught.value.hints == problem.advice


def test_codes_are_named_in_the_causes(tree: Tree, libraries: Path) -> None:
    problem = look(tree, FakeMachine(faults={INIT: 4242}).environ(libraries)).problem

    assert problem is not None
    assert problem.causes[0] == "nvmlInit returned 4242: fake error 4242"


def test_permission_shows_owner_and_mode_of_the_nodes(tree: Tree, libraries: Path) -> None:
    (tree.root / "dev/nvidiactl").chmod(0o600)
    problem = look(tree, FakeMachine(faults={INIT: 4}).environ(libraries)).problem

    assert problem is not None
    assert any(cause.startswith("/dev/nvidiactl ") and cause.endswith(" 0600") for cause in problem.causes)


@pytest.mark.parametrize(
    ("function", "code"),
    [
        *((INIT, code) for code in (10, 11, 19, 20, 23, 27, 29)),
        ("nvmlDeviceGetCount_v2", 20),
        (f"{HANDLE}:0", 27),
        ("nvmlDeviceGetUUID:0", 10),
    ],
)
def test_what_passes_is_asked_once_more(tree: Tree, libraries: Path, function: str, code: int) -> None:
    detection = look(tree, FakeMachine(faults={function: f"once{code}"}).environ(libraries))

    assert detection.problem is None
    assert len(detection.machine.gpus) == 1


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("nvmlDeviceGetMemoryInfo", 3),
        ("nvmlDeviceGetMigMode", 999),
        ("nvmlDeviceGetPciInfo_v3", 13),
        ("nvmlDeviceGetGpuFabricInfoV", 14),
        ("nvmlDeviceGetMemoryInfo", 14),
        (CUDA, 13),
        (CUDA, 999),
        ("nvmlSystemGetDriverVersion", 999),
    ],
)
def test_optional_facts_fail_alone(tree: Tree, libraries: Path, function: str, code: int) -> None:
    detection = look(tree, FakeMachine(faults={function: code}).environ(libraries))

    assert detection.problem is None
    assert detection.machine.gpus[0].name == "NVIDIA GeForce RTX 5090"
    assert detection.machine.driver is not None
    assert detection.machine.driver.version == "570.86.10"


def test_memory_that_the_card_does_not_tell(tree: Tree, libraries: Path) -> None:
    gb10 = FakeGpu(name="NVIDIA GB10", capability=(12, 1))
    detection = look(tree, FakeMachine(gpus=(gb10,), faults={"nvmlDeviceGetMemoryInfo": 3}).environ(libraries))

    assert detection.machine.gpus[0].memory_bytes is None
    assert dict(detection.machine.sources)["gpus[0].memory_bytes"] == "not told by the driver"


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (15, "gpu-lost", "GPU 1 (NVIDIA H200, 0000:02:00.0) has fallen off the bus"),
        (16, "reset-required", "GPU 1 (NVIDIA H200, 0000:02:00.0) must be reset"),
        (8, "insufficient-power", "GPU 1 (NVIDIA H200, 0000:02:00.0) has no external power"),
        (4, "no-permission", "this user may not use the NVIDIA driver for GPU 1 (NVIDIA H200"),
        (999, "unknown", "unknown error for GPU 1 (NVIDIA H200"),
    ],
)
def test_a_lost_card_beside_a_sound_one(tree: Tree, libraries: Path, fault: int, kind: str, says: str) -> None:
    tree.pci("0000:02:00.0", device="0x2335", driver="nvidia").card("0000:02:00.0", name=H200.name, uuid=H200.uuid)
    machine = FakeMachine(gpus=(FakeGpu(), H200), faults={f"{HANDLE}:1": fault})
    detection = look(tree, machine.environ(libraries))

    assert detection.problem is None
    assert [gpu.index for gpu in detection.machine.gpus] == [0]
    (trouble,) = detection.partial
    assert trouble.kind == kind
    assert says in trouble.summary
    assert says in detection.notes[0]


def test_the_first_card_lost_keeps_the_numbers_of_the_others(tree: Tree, libraries: Path) -> None:
    machine = FakeMachine(gpus=(FakeGpu(), H200), faults={"nvmlDeviceGetCudaComputeCapability:0": 15})
    detection = look(tree, machine.environ(libraries))

    assert [gpu.index for gpu in detection.machine.gpus] == [1]
    assert dict(detection.machine.sources)["gpus[0].name"] == "nvml"
    assert detection.partial[0].summary.startswith("GPU 0 (NVIDIA GeForce RTX 5090, 00000000:01:00.0) has fallen off")


def test_every_card_lost_is_a_problem(tree: Tree, libraries: Path) -> None:
    problem = look(tree, FakeMachine(faults={HANDLE: 15}).environ(libraries)).problem

    assert problem is not None
    assert problem.summary == "GPU 0 (NVIDIA GeForce RTX 5090, 0000:01:00.0) has fallen off the bus"


def test_a_name_that_is_missing_is_taken_from_the_kernel(tree: Tree, libraries: Path) -> None:
    machine = FakeMachine(faults={"nvmlDeviceGetName": 999})
    detection = look(tree, machine.environ(libraries))

    assert detection.machine.gpus[0].name == "NVIDIA GeForce RTX 5090"
    assert dict(detection.machine.sources)["gpus[0].name"] == "/proc/driver/nvidia/gpus"


def test_a_capability_that_is_missing_is_taken_from_nvidia_smi(tree: Tree, libraries: Path) -> None:
    environ = FakeMachine(faults={"nvmlDeviceGetCudaComputeCapability": 999}).environ(libraries)
    smi(libraries, f'echo "570.86.10, 0, {FakeGpu().uuid}, 00000000:01:00.0, 32607, [N/A], 12.0, NVIDIA GeForce RTX"')
    detection = look(tree, environ)

    assert detection.machine.gpus[0].compute_capability == ComputeCapability(12, 0)
    assert dict(detection.machine.sources)["gpus[0].compute_capability"] == "nvidia-smi"


def test_a_capability_that_nobody_tells_follows_from_the_name(tree: Tree, libraries: Path) -> None:
    environ = FakeMachine(faults={"nvmlDeviceGetCudaComputeCapability": 999}).environ(libraries)
    detection = look(tree, environ)

    assert detection.machine.gpus[0].compute_capability == ComputeCapability(12, 0)
    assert dict(detection.machine.sources)["gpus[0].compute_capability"] == "the GPU's name, by table"


@pytest.mark.parametrize("fault", ["hang", "abort", "segv"])
def test_the_end_of_the_library_after_the_required_facts(tree: Tree, libraries: Path, fault: str) -> None:
    machine = FakeMachine(gpus=(FakeGpu(), H200), faults={"nvmlDeviceGetMemoryInfo:0": fault})
    detection = look(tree, machine.environ(libraries), timeout=3.0)

    assert detection.problem is None
    assert len(detection.machine.gpus) == 2
    assert (
        "NVML did not end well after the required facts were known: nvmlDeviceGetMemoryInfo for" in detection.notes[0]
    )


@pytest.mark.parametrize(("fault", "kind"), [("hang", "hang"), ("abort", "crash")])
def test_the_end_of_the_library_before_them(tree: Tree, libraries: Path, fault: str, kind: str) -> None:
    machine = FakeMachine(gpus=(FakeGpu(), H200), faults={"nvmlDeviceGetName:1": fault})
    detection = look(tree, machine.environ(libraries), timeout=3.0)

    assert detection.problem is not None
    assert detection.problem.kind == kind
    assert detection.problem.causes[0].startswith("nvmlDeviceGetName for GPU 1: ")
    assert detection.machine.driver == Driver(version="570.86.10", cuda="12.8", source="nvml")
    assert [gpu.index for gpu in detection.machine.gpus] == [0]


def test_an_older_library_without_the_newer_init(tree: Tree, libraries: Path) -> None:
    machine = FakeMachine(without=frozenset({INIT, "nvmlDeviceGetMigMode", "nvmlDeviceGetGpuFabricInfoV"}))

    assert look(tree, machine.environ(libraries)).problem is None


def test_a_stub_library(tree: Tree, tmp_path: Path) -> None:
    machine = FakeMachine(without=frozenset({INIT, "nvmlInit_v2"}))
    problem = look(tree, machine.environ(tmp_path / "lib64/stubs")).problem

    assert problem is not None
    assert problem.kind == "library-outdated"
    assert "is a stub for linking" in problem.summary
    assert "unset LD_LIBRARY_PATH" in problem.hints[0]


@pytest.mark.parametrize("content", [b"", b"not a library"])
def test_a_library_that_cannot_be_loaded(tree: Tree, libraries: Path, content: bytes) -> None:
    libraries.mkdir()
    (libraries / "libnvidia-ml.so.1").write_bytes(content)
    problem = look(tree, {"PATH": "", "LD_LIBRARY_PATH": str(libraries)}).problem

    assert problem is not None
    assert problem.kind == "library-broken"
    assert "the loader says: " in problem.causes[0]


def test_what_the_library_prints_does_not_disturb(tree: Tree, libraries: Path) -> None:
    noise = '["fact", "name", 7, "ghost"]\nNVRM: hello\n'
    quiet, loud = (look(tree, FakeMachine(noise=text).environ(libraries)) for text in ("", noise))

    assert loud == quiet


def test_nvidia_smi_is_not_asked_after_a_hang(tree: Tree, libraries: Path, tmp_path: Path) -> None:
    environ = FakeMachine(faults={INIT: "hang"}).environ(libraries)
    smi(libraries, f": > {tmp_path}/asked")

    assert look(tree, environ, timeout=1.0).problem is not None
    assert not (tmp_path / "asked").exists()


def test_a_container_with_the_utility_capability_only(tree: Tree, libraries: Path) -> None:
    environ = FakeMachine(faults={CUDA: 12}, cuda_known=12080).environ(libraries)
    detection = look(tree.docker(), environ)

    assert detection.problem is not None
    assert detection.problem.kind == "compute-library-missing"
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in detection.problem.hints[0]
    assert detection.machine.driver == Driver(version="570.86.10", cuda="12.8", source="nvml")
    assert len(detection.machine.gpus) == 1


def test_cuda_of_a_compatibility_package_is_said_to_be_its(tree: Tree, libraries: Path) -> None:
    detection = look(tree, FakeMachine(cuda=13000, libcuda="580.65.06").environ(libraries))

    assert detection.machine.driver is not None
    assert detection.machine.driver.cuda == "13.0"
    assert dict(detection.machine.sources)["driver.cuda"].endswith("libcuda.so.580.65.06")
    assert "a compatibility package, which works on data centre cards only" in detection.notes[0]


def test_mig_with_and_without_devices(tree: Tree, libraries: Path, tmp_path: Path) -> None:
    sliced = look(tree, FakeMachine(gpus=(replace(H200, mig=1, slices=3),)).environ(libraries))
    empty = look(tree, FakeMachine(gpus=(replace(H200, mig=1, slices=0),)).environ(tmp_path / "other"))

    assert sliced.problem is None
    assert sliced.machine.gpus[0].mig
    assert "in MIG mode with 3 MIG devices" in sliced.notes[0]
    assert empty.problem is not None
    assert empty.problem.kind == "mig-empty"


def test_a_fabric_that_has_not_come_up(tree: Tree, libraries: Path) -> None:
    detection = look(tree, FakeMachine(gpus=(replace(H200, fabric=2),)).environ(libraries))

    assert "CUDA answers 802 until the Fabric Manager has run" in detection.notes[0]


def test_masks_are_noted_and_not_obeyed(tree: Tree, libraries: Path) -> None:
    environ = FakeMachine(gpus=(FakeGpu(), H200)).environ(
        libraries, CUDA_VISIBLE_DEVICES="", NVIDIA_VISIBLE_DEVICES="0"
    )
    detection = look(tree.docker(), environ)

    assert len(detection.machine.gpus) == 2
    assert detection.notes == (
        "CUDA_VISIBLE_DEVICES is set: CUDA programs see no GPU at all; every GPU is listed here",
        "NVIDIA_VISIBLE_DEVICES is 0: the container was given these GPUs",
    )


def test_a_driver_that_counts_no_gpu(tmp_path: Path, tree: Tree, libraries: Path) -> None:
    environ = FakeMachine(gpus=()).environ(libraries)
    refused = look(tree, environ)
    absent = look(Tree(tmp_path / "empty").bus(), environ)

    assert refused.problem is not None
    assert refused.problem.kind == "no-device"
    assert "bound to the kernel driver nvidia" in refused.problem.causes[0]
    assert (absent.problem, absent.machine.driver) == (None, None)
    assert absent.notes == ("NVIDIA's driver 570.86.10 is installed (NVML), and the PCI bus holds no NVIDIA GPU",)
