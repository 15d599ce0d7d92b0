"""Packages beside a torch: what loads, what the driver runs, what has code, and what nobody knows."""

from __future__ import annotations

import pytest

from gpuenv.knowledge import load
from gpuenv.model.wheel import WheelContents
from gpuenv.project.judge import judge
from gpuenv.project.pins import Pin, PinnedFile
from gpuenv.project.requirements_file import FilePlace
from gpuenv.project.verdicts import Bench, PackageVerdict
from support.choosing import machine

HERE = FilePlace(file="lock", line=1)
H100, RTX5090, V100 = ("9.0",), ("12.0",), ("7.0",)


def pin(text: str, **values: object) -> Pin:
    name, _, version = text.partition("==")
    return Pin(name=name, version=version, place=HERE, **values)  # type: ignore[arg-type] # names of its fields


def verdict_of(
    *stated: str | Pin,
    on: tuple[str, ...] = H100,
    driver: str = "610.43.02",
    facts: dict[str, WheelContents] | None = None,
) -> PackageVerdict:
    """The verdict of the last of some pins."""
    pins = [each if isinstance(each, Pin) else pin(each) for each in stated]
    bench = Bench(machine=machine(*on, driver=driver), python="3.12", knowledge=load(), facts=facts or {})
    found = judge(pins, bench)
    return next((row for row in found if row.name == pins[-1].name), found[-1]).verdict


@pytest.mark.parametrize(
    ("stated", "on", "word", "detail"),
    [
        # xformers of PyPI is built with CUDA 12; PyPI's torch 2.11 and later with 13 (research: trap 1)
        (("torch==2.11.0", "xformers==0.0.35"), H100, "cuda-major", "CUDA 12, torch 2.11.0 brings those of CUDA 13"),
        (("torch==2.10.0", "xformers==0.0.35"), H100, "native", "sm_90"),
        (("torch==2.10.0", "xformers==0.0.35"), RTX5090, "ptx", "PTX 8.0"),
        (("torch==2.9.1", "xformers==0.0.35"), H100, "will-not-load", "loads with torch>=2.10, this is 2.9.1"),
        # the reverse: torchao and torchcodec of PyPI beside a torch of CUDA 12 (trap 2)
        (("torch==2.12.0+cu126", "torchcodec==0.17.0"), H100, "cuda-major", "CUDA 13"),
        (("torch==2.12.0+cu126", "torchao==0.17.0"), H100, "cuda-major", "CUDA 13"),
        (("torch==2.12.0+cu130", "torchcodec==0.17.0"), RTX5090, "native", "sm_120"),
        # bitsandbytes: the library of torch's CUDA, the next lower one of its major, never another major (trap 5)
        (("torch==2.9.1+cu126", "bitsandbytes==0.50.2"), RTX5090, "no-code", "sm_120"),
        (("torch==2.9.1+cu128", "bitsandbytes==0.50.2"), ("6.1",), "no-code", "sm_61"),
        (("torch==2.9.1+cu126", "bitsandbytes==0.50.2"), ("6.1",), "native", "sm_60"),
        (("torch==2.9.1+cu130", "bitsandbytes==0.50.2"), V100, "no-code", "sm_70"),
        (("torch==2.9.1+cu130", "bitsandbytes==0.50.3"), V100, "unknown", "no table knows"),
        # flash-attn: torch and CUDA in its local part, Ampere and newer
        (("torch==2.10.0+cu128", "flash-attn==2.8.3+cu12torch2.9cxx11abitrue"), H100, "will-not-load", "torch 2.9"),
        (("torch==2.9.1+cu130", "flash-attn==2.8.3+cu12torch2.9cxx11abitrue"), H100, "cuda-major", "CUDA 12"),
        (("torch==2.9.1+cu128", "flash-attn==2.8.3+cu12torch2.9cxx11abitrue"), ("7.5",), "no-code", "begins at 8.0"),
        (("torch==2.9.1+cu128", "flash-attn==2.8.3+cu12torch2.9cxx11abitrue"), H100, "unknown", "no table knows"),
        (("torch==2.9.1+cu128", "pyg-lib==0.5.0+pt29cu128"), H100, "unknown", "no table knows"),
        (("torch==2.10.0+cu128", "pyg-lib==0.5.0+pt29cu128"), H100, "will-not-load", "torch 2.9"),
        # torchaudio compares major and minor when it is imported, torchvision the major
        (("torch==2.9.1+cu128", "torchaudio==2.9.1+cu126"), H100, "will-not-load", "its import fails"),
        (("torch==2.9.1+cu128", "torchvision==0.24.1+cu126"), H100, "fits", "goes with torch 2.9.1"),
        (("torch==2.9.1+cu130", "torchvision==0.24.1+cu126"), H100, "will-not-load", "its import fails"),
        (("torch==2.9.1+cu128", "torchvision==0.25.0+cu128"), H100, "will-not-load", "is made for torch==2.10.0"),
        (("torch==2.9.1+cu128", "torchvision==0.24.1+cpu"), H100, "cpu-build", "built without CUDA"),
        # packages with a CUDA of their own need its runtime beside torch's
        (("torch==2.9.1+cu130", "onnxruntime-gpu==1.26.0"), H100, "cuda-major", "CUDA 12"),
        (("torch==2.9.1+cu130", "onnxruntime-gpu==1.27.0"), H100, "unknown", "no table knows"),
        (
            ("nvidia-cuda-runtime-cu12==12.8.90", "torch==2.9.1+cu130", "cupy-cuda12x==14.2.0"), H100, "unknown",
            "no table knows",
        ),
        (("torch==2.9.1+cu130", "cupy-cuda12x==14.2.0"), H100, "cuda-major", "CUDA 12"),
        # a name that ends in an architecture says its code
        (("torch==2.9.1+cu128", "flashinfer-jit-cache-sm90a==0.7.0+cu128"), H100, "native", "sm_90a"),
        (("torch==2.9.1+cu128", "flashinfer-jit-cache-sm90a==0.7.0+cu128"), RTX5090, "no-code", "sm_120"),
        # NVIDIA's libraries
        (("torch==2.9.1+cu128", "nvidia-cublas-cu12==12.8.4.1"), H100, "fits", "of CUDA 12"),
        (("torch==2.9.1+cu130", "nvidia-cublas-cu12==12.8.4.1"), H100, "cuda-major", "of CUDA 12, torch of CUDA 13"),
        (("torch==2.9.1+cu130", "nvidia-cublas==13.0.0.19"), H100, "fits", "of CUDA 13"),
        (
            ("torch==2.9.1+cu130", "nvidia-nccl-cu12==2.27.5", "nvidia-nccl-cu13==2.27.7"), H100, "cuda-major",
            "nvidia-nccl-cu12 and nvidia-nccl-cu13 write the same files",
        ),
        # triton: torch.compile alone
        (("torch==2.9.1+cu128", "triton==3.5.1"), ("12.1",), "no-compile", "does not know sm_121"),
        (("torch==2.9.1+cu128", "triton==3.5.1"), ("6.1",), "no-compile", "begins at 7.0"),
        (("torch==2.9.1+cu128", "triton==9.9.9"), H100, "unknown", "assembles"),
        # torch itself
        (("torch==2.9.1+rocm6.4",), H100, "no-code", "rocm6.4 is not for NVIDIA GPUs"),
        (("torch==9.9.9+cu126",), RTX5090, "no-code", "CUDA 12.6 cannot compile it, CUDA 12.8 is the first"),
        (("torch==9.9.9+cu128",), RTX5090, "unknown", "no table knows"),
        (("torch==9.9.9",), RTX5090, "unknown", "no table knows this build"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_package(stated: tuple[str, ...], on: tuple[str, ...], word: str, detail: str) -> None:
    found = verdict_of(*stated, on=on)
    assert (found.word, detail in f"{found.detail} {found.by}") == (word, True), found


def test_a_plain_version_beside_an_index_of_pytorch_is_that_build() -> None:
    """pip takes 2.9.1+cu126 for ``==2.9.1`` where an extra index lists it: a local part is higher (PEP 440)."""
    plain = pin("torch==2.9.1")
    extra = pin("torch==2.9.1", extra_indexes=("https://mirror.example/whl/cu126",))
    assert verdict_of(plain, on=("6.1",)).word == "no-code"
    assert verdict_of(extra, on=("6.1",)).word == "native"


def test_a_build_of_another_index_than_everything_else_is_nobody_knows_whose() -> None:
    torch = pin(
        "torch==2.9.1",
        index="https://jetson.example/jp7/cu130",
        wheels=(PinnedFile(url="https://jetson.example/f/torch-2.9.1-cp312-cp312-manylinux_2_28_x86_64.whl"),),
    )
    bench = Bench(
        machine=machine(*H100), python="3.12", knowledge=load(), facts={}, usual_index="https://index.example/simple"
    )
    (row,) = judge([torch], bench)
    assert row.verdict.word == "unknown"
    assert row.verdict.question is not None
    assert row.verdict.question.wheel.url.startswith("https://jetson.example/f/torch-2.9.1")


def test_what_was_read_of_a_wheel_goes_before_the_tables() -> None:
    url = (
        "https://mirror.example/whl/nightly/cu130/torch-9.9.9.dev20260101%2Bcu130-cp312-cp312-manylinux_2_28_x86_64.whl"
    )
    torch = pin("torch==9.9.9.dev20260101+cu130", wheels=(PinnedFile(url=url),))
    assert verdict_of(torch).word == "unknown"
    read = WheelContents(cuda="13.0", sass=("sm_90",), ptx=("compute_120",), detail="CUDAConfig.h")
    assert verdict_of(torch, facts={url: read}).by == "sm_90"
    assert verdict_of(torch, on=RTX5090, facts={url: read}).by == "compute_120"
    assert verdict_of(torch, on=("8.0",), facts={url: read}).word == "no-code"


def test_an_open_version_and_source_code_are_not_known() -> None:
    assert verdict_of(pin("torch", stated="torch>=2.4")).detail == "torch>=2.4 names no exact version"
    assert verdict_of("torch==2.9.1", pin("flash-attn==2.8.3", source=True)).detail.startswith("is compiled on")
    assert verdict_of("torch==2.9.1", pin("vllm==0.9", source=True)).detail.startswith("comes as source code")


def test_of_two_torches_each_is_judged_and_the_last_is_beside_the_others() -> None:
    bench = Bench(machine=machine(*H100), python="3.12", knowledge=load(), facts={})
    rows = judge([pin("torch==2.8.0+cu126"), pin("torch==2.9.1+cu128"), pin("torchvision==0.24.1+cu128")], bench)
    assert [(row.name, row.version, row.verdict.word) for row in rows] == [
        ("torch", "2.8.0+cu126", "native"),
        ("torch", "2.9.1+cu128", "native"),
        ("torchvision", "0.24.1+cu128", "fits"),
    ]
