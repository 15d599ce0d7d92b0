"""Which machines a lock refuses, and with which reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuenv import knowledge
from gpuenv.lock.fit import fits_machine, newer_release
from gpuenv.lock.model import Lock
from gpuenv.model.machine import ComputeCapability, Driver, Gpu, Machine
from support.dependencies import linux
from support.locks import decided, inputs, lock_of, package

LOCK = lock_of(package("torch", "2.10.0+cu128", family=True))


def gpu(capability: tuple[int, int], index: int = 0) -> Gpu:
    return Gpu(
        index=index,
        uuid=f"GPU-{index}",
        name=f"card {index}",
        compute_capability=ComputeCapability(*capability),
        memory_bytes=None,
        mig=False,
    )


MACHINE = Machine(
    os="linux",
    arch="x86_64",
    libc="glibc 2.39",
    wsl=False,
    container=False,
    driver=Driver(version="570.124.06", cuda="12.8", source="nvml"),
    gpus=(gpu((12, 0)),),
)


def what(lock: Lock, machine: Machine) -> tuple[str, str]:
    found = fits_machine(lock, machine, knowledge.load())
    return ("", "") if found is None else (found.what, found.sentence)


def test_the_machine_it_was_made_for() -> None:
    assert what(LOCK, MACHINE) == ("", "")


def test_another_card_that_the_same_wheel_serves() -> None:
    assert what(LOCK, replace(MACHINE, gpus=(gpu((9, 0)), gpu((12, 0), 1)))) == ("", "")


@pytest.mark.parametrize(
    ("machine", "kind", "said"),
    [
        (replace(MACHINE, os="windows", libc=None), "os", "made for linux, this is windows"),
        (replace(MACHINE, arch="aarch64"), "arch", "made for x86_64, this is aarch64"),
        (replace(MACHINE, libc="glibc 2.17"), "libc", "needs glibc 2.28, this has glibc 2.17"),
        (replace(MACHINE, libc="musl 1.2"), "libc", "needs glibc 2.28, this has musl 1.2"),
        (replace(MACHINE, gpus=()), "gpu", "this machine has no NVIDIA GPU"),
        (replace(MACHINE, driver=None), "gpu", "this machine has no NVIDIA driver"),
        (replace(MACHINE, gpus=(gpu((12, 0)), gpu((6, 1), 1))), "kernels", "does not serve GPU 1 (card 1)"),
        (
            replace(MACHINE, driver=Driver(version="470.82.01", cuda="11.4", source="nvml")),
            "driver",
            "cu128 needs driver 525.60.13 or newer, this has 470.82.01 (NVML)",
        ),
    ],
)
def test_machines_it_refuses(machine: Machine, kind: str, said: str) -> None:
    found, sentence = what(LOCK, machine)
    assert found == kind
    assert said in sentence


def test_drivers_compare_component_by_component() -> None:
    lock = replace(LOCK, decision=decided(least_driver="570.26"))
    assert what(lock, MACHINE) == ("", "")  # 570.124 is newer than 570.26


def test_ptx_is_asked_about_again_because_it_depends_on_the_driver() -> None:
    support = replace(LOCK.decision.gpus[0], support="ptx", by="compute_90")
    lock = replace(LOCK, decision=decided(sass=("sm_90",), ptx=("compute_90",), gpus=(support,)))
    assert what(lock, replace(MACHINE, driver=Driver(version="576.88", cuda="12.9", source="nvml"))) == ("", "")
    older = replace(MACHINE, driver=Driver(version="525.60.13", cuda="12.0", source="nvml"))
    assert what(lock, older)[0] == "kernels"


def test_a_cpu_build_nobody_wished_for_does_not_fit_a_machine_with_a_gpu() -> None:
    cpu = decided(accelerator="cpu", wish="auto", variant="cpu", sass=(), gpus=(), least_driver=None)
    machine = inputs(target=linux(compute_capabilities=(), driver=None))
    lock = lock_of(package("torch", "2.10.0+cpu", family=True), decision=cpu, inputs=machine)
    assert what(lock, replace(MACHINE, gpus=(), driver=None)) == ("", "")
    assert what(lock, MACHINE) == ("cpu", "holds a CPU build, made where there was no GPU; this machine has card 0")
    assert what(replace(lock, decision=replace(cpu, wish="cpu")), MACHINE) == ("", "")


def newest(lock: Lock, machine: Machine = MACHINE) -> str | None:
    found = newer_release(lock, machine, knowledge.load())
    return None if found is None else found.torch


def test_a_newer_torch_is_one_that_the_tables_know_and_the_machine_runs() -> None:
    newer = newest(LOCK)
    assert newer is not None
    assert newest(lock_of(LOCK.packages[0], decision=decided(torch=f"{newer}+cu128"))) is None
    fermi = replace(MACHINE, gpus=(gpu((2, 0)),))
    assert newest(LOCK, fermi) is None
    old_driver = Driver(version="340.10", cuda="6.5", source="nvml")
    assert newest(LOCK, replace(MACHINE, driver=old_driver)) is None


def test_nightlies_and_a_cutoff_ask_for_no_newer_torch() -> None:
    assert newest(replace(LOCK, decision=decided(channel="nightly"))) is None
    assert newest(replace(LOCK, inputs=inputs(cutoff="2026-01-01T00:00:00Z"))) is None


def test_a_newer_torch_is_built_for_the_python_of_the_lock() -> None:
    assert newest(replace(LOCK, inputs=inputs(target=replace(linux(), python="3.8")))) is None
