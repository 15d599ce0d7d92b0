"""What a lock records of profile, machine, decision and row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuenv.errors import MachineError
from gpuenv.lock.codec import to_requirements
from gpuenv.lock.making import decision_of, package_of, profile_digest, target_of
from gpuenv.model.decision import DriverSupport, Kernels
from gpuenv.model.machine import ComputeCapability, Driver, Gpu, Machine
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Wheel
from support.dependencies import decision
from support.locks import lock_of, package

PROFILE = Profile(
    name="x", description="d", origin="o", accelerator="auto", packages=("torch>=2.8", "torchvision"), channel="auto"
)
FAMILY = ("torch-2.10.0+cu128-cp312-cp312-manylinux_2_28_x86_64.whl",)


def machine(libc: str | None, *capabilities: tuple[int, int]) -> Machine:
    gpus = tuple(
        Gpu(
            index=index,
            uuid="u",
            name="n",
            compute_capability=ComputeCapability(*each),
            memory_bytes=None,
            mig=False,
        )
        for index, each in enumerate(capabilities)
    )
    driver = Driver(version="570.124.06", cuda="12.8", source="nvml")
    return Machine(os="linux", arch="x86_64", libc=libc, wsl=False, container=False, driver=driver, gpus=gpus)


def test_the_digest_is_of_the_meaning() -> None:
    digest = profile_digest(PROFILE)
    assert digest == profile_digest(
        replace(PROFILE, name="y", description="other", origin="p", environment="e", packages=PROFILE.packages[::-1])
    )
    for change in (
        {"packages": ("torch>=2.9", "torchvision")},
        {"accelerator": "cuda"},
        {"channel": "nightly"},
        {"variant": "cu128"},
        {"python": "==3.12"},
        {"compute_capabilities": (ComputeCapability(12, 0),)},
        {"least_driver": "570"},
        {"optional_packages": ("torchaudio",)},
    ):
        assert profile_digest(replace(PROFILE, **change)) != digest, change  # type: ignore[arg-type]  # one field each


def test_machines_of_a_class_have_one_target_whatever_their_distribution() -> None:
    one = target_of(machine("glibc 2.28", (12, 0), (12, 0)), python="3.12", filenames=FAMILY)
    other = target_of(machine("glibc 2.39", (12, 0)), python="3.12", filenames=FAMILY)
    assert one == other
    assert one.libc == "glibc 2.28"


def test_the_libc_of_a_target_is_no_newer_than_the_machine_and_no_older_than_the_family() -> None:
    assert target_of(machine("glibc 2.17"), python="3.12").libc == "glibc 2.17"
    newer = ("torch-2.15.0-cp312-cp312-manylinux_2_34_x86_64.whl",)
    assert target_of(machine("glibc 2.39"), python="3.12", filenames=newer).libc == "glibc 2.34"


def test_a_machine_without_glibc_cannot_be_locked_for() -> None:
    with pytest.raises(MachineError, match=r"this machine has musl 1\.2"):
        target_of(machine("musl 1.2"), python="3.12")


ROW = Wheel(
    project="torch",
    version="2.10.0+cu128",
    filename=FAMILY[0],
    url=f"https://me:secret@mirror.example/whl/cu128/{FAMILY[0].replace('+', '%2B')}#sha256=0",
    source="mirror",
    channel="stable",
    variant="cu128",
    upload_time="2026-01-21T19:02:47Z",
)


def test_credentials_of_an_index_are_never_locked() -> None:
    locked = package_of(ROW, sha256="0" * 64, hash_origin="index", size=5)
    assert locked.url == "https://mirror.example/whl/cu128/torch-2.10.0%2Bcu128-cp312-cp312-manylinux_2_28_x86_64.whl"


def test_a_decision_is_kept_with_its_reasons() -> None:
    made = decision(
        ROW,
        kernels=Kernels(sass=("sm_120",), ptx=("compute_120",), origin="wheel", detail="CUDAConfig.h"),
        driver=DriverSupport(required="525.60.13", found="570.124.06", full=True, source="nvml"),
    )
    kept = decision_of(made, PROFILE)
    assert (kept.torch, kept.wish, kept.least_driver) == ("2.10.0+cu128", "auto", "525.60.13")
    assert (kept.sass, kept.ptx, kept.kernels_from) == (("sm_120",), ("compute_120",), "wheel: CUDAConfig.h")
    assert kept.because == made.because


def test_requirements_name_a_file_of_a_drive_by_its_address() -> None:
    local = package("triton", "3.6.0", url=None, path="D:/my wheels/triton-3.6.0-py3-none-any.whl", family=True)
    line = to_requirements(lock_of(local)).splitlines()[3]
    assert line == f"triton @ file:///D:/my%20wheels/triton-3.6.0-py3-none-any.whl --hash=sha256:{'0' * 64}"


def test_requirements_name_files_not_versions() -> None:
    local = package("triton", "3.6.0", url=None, path="/srv/my wheels/triton-3.6.0-py3-none-any.whl", family=True)
    text = to_requirements(lock_of(package("torch", "2.10.0+cu128", family=True), local))
    assert text.splitlines()[3:] == [
        "torch @ https://download.pytorch.org/whl/cu128/torch-2.10.0%2Bcu128-py3-none-any.whl"
        f" --hash=sha256:{'0' * 64}",
        f"triton @ file:///srv/my%20wheels/triton-3.6.0-py3-none-any.whl --hash=sha256:{'0' * 64}",
    ]
