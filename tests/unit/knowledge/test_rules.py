"""Which code runs on which GPU: the rule, its exceptions, and what each refusal says."""

from __future__ import annotations

import pytest

from gpuenv import knowledge
from gpuenv.knowledge.rules import Code, NoCode, Support, serve
from gpuenv.model.machine import ComputeCapability

CU128 = ("sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
CU126 = ("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90")
SBSA = ("sm_80", "sm_90", "sm_100", "sm_110", "sm_120")


def ask(
    capability: str,
    *,
    sass: tuple[str, ...] = (),
    ptx: tuple[str, ...] = (),
    cuda: str | None = "12.8",
    driver_cuda: str | None = "12.8",
    platform: str = "linux_x86_64",
    cudnn: str | None = None,
    doubtful: tuple[str, ...] = (),
) -> Support | NoCode:
    return serve(
        ComputeCapability.parse(capability),
        sass=sass,
        ptx=ptx,
        cuda=cuda,
        driver_cuda=driver_cuda,
        platform=platform,
        cudnn=cudnn,
        doubtful=doubtful,
        rules=knowledge.load().code_rules,
    )


def by(answer: Support | NoCode) -> str:
    return answer.by if isinstance(answer, Support) else "refused"


@pytest.mark.parametrize(
    ("capability", "sass", "expected"),
    [
        ("8.9", CU128, "sm_86"),
        ("8.6", CU128, "sm_86"),
        ("12.1", CU128, "sm_120"),
        ("10.3", CU128, "sm_100"),
        ("10.7", CU128, "sm_100"),
        ("7.5", ("sm_70",), "sm_70"),
        ("5.2", CU126, "sm_50"),
        ("6.1", CU126, "sm_60"),
        ("6.1", ("sm_60", "sm_61"), "sm_61"),
        ("12.0", CU126, "refused"),
        ("6.1", CU128, "refused"),
        ("8.0", ("sm_86",), "refused"),
        ("9.0", ("sm_86",), "refused"),
        ("11.0", ("sm_100", "sm_120"), "refused"),
        ("3.5", ("sm_37",), "refused"),
    ],
)
def test_same_major_and_minor_at_least(capability: str, sass: tuple[str, ...], expected: str) -> None:
    assert by(ask(capability, sass=sass)) == expected


@pytest.mark.parametrize(
    ("capability", "code", "expected"),
    [
        ("9.0", "sm_90a", "sm_90a"),
        ("10.3", "sm_100a", "refused"),
        ("10.3", "sm_100f", "sm_100f"),
        ("10.0", "sm_103f", "refused"),
        ("12.1", "sm_120f", "sm_120f"),
        ("12.1", "sm_120a", "refused"),
        ("12.0", "sm_100f", "refused"),
    ],
)
def test_suffixes(capability: str, code: str, expected: str) -> None:
    assert by(ask(capability, sass=(code,))) == expected


@pytest.mark.parametrize(
    ("capability", "cuda", "sass", "expected"),
    [
        ("5.3", "12.6", CU126, "refused"),
        ("6.2", "12.6", CU126, "refused"),
        ("7.2", "12.8", CU128, "refused"),
        ("8.7", "13.0", SBSA, "refused"),
        ("8.7", "13.2", SBSA, "sm_80"),
        ("8.7", None, SBSA, "refused"),
        ("8.7", "12.6", ("sm_87",), "sm_87"),
        ("8.9", "12.6", ("sm_87",), "refused"),
        ("7.5", "12.6", ("sm_72",), "refused"),
        ("11.0", "13.0", SBSA, "sm_110"),
        ("11.0", "12.9", ("sm_101",), "sm_101"),
        ("10.1", "13.0", ("sm_110",), "sm_110"),
        ("10.1", "12.8", ("sm_100",), "refused"),
        ("10.3", "12.9", ("sm_101",), "refused"),
    ],
)
def test_embedded_chips(capability: str, cuda: str | None, sass: tuple[str, ...], expected: str) -> None:
    assert by(ask(capability, sass=sass, cuda=cuda, driver_cuda="13.2", platform="linux_aarch64")) == expected


@pytest.mark.parametrize("driver_cuda", ["13.0", "12.6", None])
def test_orin_needs_a_driver_that_knows_what_the_server_wheel_was_built_with(driver_cuda: str | None) -> None:
    answer = ask("8.7", sass=SBSA, cuda="13.2", driver_cuda=driver_cuda, platform="linux_aarch64")
    assert isinstance(answer, NoCode)
    assert "Jetson Orin" in answer.detail


def test_ptx_serves_what_machine_code_does_not_and_warns() -> None:
    answer = ask("12.1", sass=("sm_90",), ptx=("compute_90", "compute_120"), cuda="12.9", driver_cuda="13.0")
    assert isinstance(answer, Support)
    assert (answer.support, answer.by) == ("ptx", "compute_120")
    assert "by the driver" in answer.warning


def test_machine_code_goes_before_ptx() -> None:
    answer = ask("12.1", sass=("sm_120",), ptx=("compute_120",))
    assert answer == Support(support="native", by="sm_120", warning="")


def test_ptx_is_not_for_older_devices() -> None:
    assert by(ask("9.0", ptx=("compute_100",))) == "refused"


def test_ptx_with_a_suffix_is_bound_like_machine_code() -> None:
    assert by(ask("12.0", ptx=("compute_90a",))) == "refused"
    assert by(ask("9.0", ptx=("compute_90a",))) == "compute_90a"
    assert by(ask("10.3", ptx=("compute_100f",))) == "compute_100f"


def test_ptx_does_not_help_an_orin_before_its_cuda() -> None:
    old = ask("8.7", ptx=("compute_80",), cuda="13.0", driver_cuda="13.0", platform="linux_aarch64")
    assert by(old) == "refused"


@pytest.mark.parametrize(
    ("cuda", "driver_cuda", "words"),
    [
        ("13.0", "12.8", "made by CUDA 13.0, and the driver knows CUDA 12.8"),
        (None, "12.8", "CUDA it was built with is not known"),
        ("", "12.8", "CUDA it was built with is not known"),
        ("12.8", None, "could not be established"),
    ],
)
def test_ptx_newer_than_the_driver_is_refused(cuda: str | None, driver_cuda: str | None, words: str) -> None:
    answer = ask("12.1", ptx=("compute_120",), cuda=cuda, driver_cuda=driver_cuda)
    assert isinstance(answer, NoCode)
    assert words in answer.detail
    assert answer.detail.startswith("no code for sm_121, only PTX compute_120")


def test_machine_code_does_not_ask_for_the_drivers_cuda() -> None:
    assert by(ask("9.0", sass=("sm_90",), cuda="13.2", driver_cuda="13.0")) == "sm_90"
    assert by(ask("9.0", sass=("sm_90",), cuda="13.2", driver_cuda=None)) == "sm_90"


def test_refusal_lists_what_there_is() -> None:
    answer = ask("6.1", sass=("sm_75", "sm_120"), ptx=("compute_120",))
    assert answer == NoCode(what="no code for sm_61", codes=("sm_75", "sm_120", "compute_120"))


def test_refusal_names_the_exception() -> None:
    answer = ask("8.7", sass=SBSA, cuda="13.0", platform="linux_aarch64")
    assert isinstance(answer, NoCode)
    assert "Orin" in answer.detail
    assert "linux_aarch64" in answer.detail


def test_nothing_at_all() -> None:
    assert ask("9.0") == NoCode(what="no code for sm_90", codes=())


def test_code_of_another_kind_is_no_code() -> None:
    assert by(ask("9.0", sass=("gfx942", "sm_xx"))) == "refused"
    assert Code.parse("gfx942") is None


@pytest.mark.parametrize(
    ("capability", "cudnn", "expected"),
    [
        ("6.1", "9.10.2.21", "sm_60"),
        ("6.1", "9.11.0.98", "refused"),
        ("7.5", "9.24.0.43", "sm_75"),
        ("6.1", None, "sm_60"),
    ],
)
def test_cudnn_has_a_floor_of_its_own(capability: str, cudnn: str | None, expected: str) -> None:
    assert by(ask(capability, sass=CU126, cudnn=cudnn)) == expected


def test_doubtful_code_serves_with_a_warning() -> None:
    answer = ask("7.0", sass=CU128, doubtful=("sm_70",))
    assert isinstance(answer, Support)
    assert "cuDNN" in answer.warning
    assert ask("7.5", sass=CU128, doubtful=("sm_70",)) == Support(support="native", by="sm_75", warning="")


def test_the_tables_bring_their_own_cudnn_and_doubts() -> None:
    from support.readings import torch_wheel

    tables = knowledge.load()
    volta = ComputeCapability(7, 0)
    for variant, doubted in (("cu128", False), ("cu129", True)):
        name = f"torch-2.10.0+{variant}-cp312-cp312-manylinux_2_28_x86_64.whl"
        wheel = torch_wheel(name, f"2.10.0+{variant}", variant=variant)
        contents = tables.contents(wheel)
        assert contents is not None
        answer = tables.serve(wheel, contents, volta, driver_cuda="13.0", platform="linux_x86_64")
        assert isinstance(answer, Support)
        assert bool(answer.warning) is doubted


def test_cudnn_of_the_wheels_own_metadata_counts() -> None:
    from gpuenv.model.wheel import WheelContents
    from support.readings import torch_wheel

    tables = knowledge.load()
    wheel = torch_wheel("torch-9.9.0+cu126-cp312-cp312-manylinux_2_28_x86_64.whl", "9.9.0+cu126", variant="cu126")
    for pin, expected in (("9.10.2.21", "sm_60"), ("9.20.0.48", "refused")):
        contents = WheelContents(cuda="12.6", sass=CU126, ptx=(), requires_dist=(f"nvidia-cudnn-cu12=={pin}; x",))
        answer = tables.serve(wheel, contents, ComputeCapability(6, 1), driver_cuda="13.0", platform="linux_x86_64")
        assert by(answer) == expected
