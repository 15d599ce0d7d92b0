"""Whether a profile and a machine go together."""

from __future__ import annotations

import pytest

from gpuenv.knowledge import load
from gpuenv.model.machine import ComputeCapability
from gpuenv.select.request import fits, wants_cpu
from support.choosing import machine, profile, request

BLACKWELL = profile("blackwell", compute_capabilities=(ComputeCapability(12, 0),))


def test_a_machine_with_one_fitting_gpu_is_enough() -> None:
    assert fits(BLACKWELL, machine("7.5", "12.0"), request(), load()) is None


def test_a_gpu_out_of_scope_does_not_count() -> None:
    mismatch = fits(BLACKWELL, machine("7.5", "12.0"), request(gpus=(0,)), load())
    assert mismatch is not None
    assert mismatch.message == (
        "profile blackwell is for compute capability 12.0, and this machine has GPU 0 Test GPU 7.5 (7.5)"
    )


@pytest.mark.parametrize(
    ("on", "wish", "said"),
    [
        (machine(driver=None), profile("hopper"), "profile hopper needs an NVIDIA GPU, and this machine has none"),
        (
            machine("9.0", driver="535.104.05"),
            profile("fresh", least_driver="570.26"),
            "profile fresh needs driver 570.26, found 535.104.05 (file)",
        ),
    ],
)
def test_what_was_found_is_said(on: object, wish: object, said: str) -> None:
    mismatch = fits(wish, on, request(), load())  # type: ignore[arg-type] # parametrized
    assert mismatch is not None
    assert mismatch.message == said
    assert mismatch.hints


def test_the_cpu_only_when_asked_for_or_without_a_gpu() -> None:
    gpu, none = machine("9.0"), machine(driver=None)
    assert not wants_cpu(profile(accelerator="auto"), gpu, request())
    assert wants_cpu(profile(accelerator="auto"), none, request())
    assert not wants_cpu(profile(accelerator="cuda"), none, request())
    assert wants_cpu(profile(accelerator="cpu"), gpu, request())
    assert wants_cpu(profile(accelerator="cuda"), gpu, request(cpu=True))
    assert wants_cpu(profile(accelerator="cuda"), gpu, request(variant="cpu"))


@pytest.mark.parametrize("wish", [profile("auto", accelerator="auto"), profile("cpu", accelerator="cpu")])
def test_a_gpu_that_is_not_there_is_never_passed_over(wish: object) -> None:
    mismatch = fits(wish, machine(driver=None), request(gpus=(7,)), load())  # type: ignore[arg-type] # parametrized
    assert mismatch is not None
    assert mismatch.message == "there is no GPU 7: this machine has no NVIDIA GPU"
