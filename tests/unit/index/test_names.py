"""index.names: where a wheel lies says its variant and channel, its version never does."""

from __future__ import annotations

import pytest

from gpuenv.index.names import NameFault, WheelName, channel_of, parse_name, variant_of

HOST = "https://download.pytorch.org"


@pytest.mark.parametrize(
    ("path", "variant", "channel"),
    [
        ("/whl/cu128/torch-2.7.0%2Bcu128-cp39-cp39-win_amd64.whl", "cu128", None),
        ("/whl/cu126/torchvision-0.25.0-cp312-cp312-manylinux_2_28_aarch64.whl", "cu126", None),
        ("/whl/torch-2.0.1-cp311-cp311-manylinux2014_aarch64.whl", None, None),
        ("/whl/nightly/cu130/torch-2.12.0.dev20260320%2Bcu130-cp310-cp310-win_amd64.whl", "cu130", "nightly"),
        ("/whl/nightly/triton-3.6.0%2Bgit9844da95-cp312-cp312-linux_aarch64.whl", None, "nightly"),
        ("/whl/test/cu999/torch-9.0.0-cp310-cp310-win_amd64.whl", "cu999", "test"),
        ("/whl/cpu-cxx11-abi/torch-2.0.0-cp310-cp310-linux_x86_64.whl", "cpu-cxx11-abi", None),
        ("/whl/cu126_full/torch-2.8.0-cp310-cp310-linux_x86_64.whl", "cu126_full", None),
        ("/whl/rocm6.4/torch-2.8.0-cp310-cp310-linux_x86_64.whl", "rocm6.4", None),
        ("/mirror/cu128/torch/torch-2.8.0-cp310-cp310-linux_x86_64.whl", "cu128", None),
        ("/cpu/whl/torch-2.8.0-cp310-cp310-linux_x86_64.whl", None, None),
        ("/home/cuda/wheels/torch-2.8.0%2Bcu128-cp310-cp310-linux_x86_64.whl", None, None),
    ],
)
def test_variant_and_channel(path: str, variant: str | None, channel: str | None) -> None:
    assert variant_of(HOST + path) == variant
    assert channel_of(HOST + path) == channel


@pytest.mark.parametrize(
    ("name", "project", "version"),
    [
        ("torch-2.0.0-1-cp310-cp310-manylinux2014_aarch64.whl", "torch", "2.0.0"),
        ("pytorch_triton-3.5.0+git7416ffcb-cp312-cp312-linux_aarch64.whl", "pytorch-triton", "3.5.0+git7416ffcb"),
        ("Pillow-10.0.1-cp312-cp312-win_amd64.whl", "pillow", "10.0.1"),
        ("torch-2.11.0.dev20260102+cu128-cp313-cp313t-win_amd64.whl", "torch", "2.11.0.dev20260102+cu128"),
        ("cmake-3.25.0-py2.py3-none-macosx_10_10_universal2.macosx_11_0_arm64.whl", "cmake", "3.25.0"),
    ],
)
def test_names(name: str, project: str, version: str) -> None:
    assert parse_name(name) == WheelName(project, version)


@pytest.mark.parametrize("name", ["-1.0-py3-none-any.whl", "to rch-1.0-py3-none-any.whl", "torch-1.0-py3-none-a/b.whl"])
def test_characters_that_no_name_has(name: str) -> None:
    assert isinstance(parse_name(name), NameFault)
