"""index.inside: what torch's build files and METADATA say."""

from __future__ import annotations

import pytest

from gpuenv.errors import IntegrityError
from gpuenv.index.inside import built_with, compiled_for, is_metadata, requirements_of, variant_in
from support.wheels import cuda_config, render_metadata, version_file


def test_flags_of_a_real_header_in_numerical_order() -> None:
    header = cuda_config(["sm_120", "sm_75", "sm_90a", "sm_100"], ["compute_120"])
    assert compiled_for(header) == (("sm_75", "sm_90a", "sm_100", "sm_120"), ("compute_120",))


def test_several_targets_in_one_flag() -> None:
    text = '#define NVCC_FLAGS_EXTRA "-gencode arch=compute_86,code=[sm_86,compute_86]"\n'
    assert compiled_for(text) == (("sm_86",), ("compute_86",))


def test_a_header_without_flags_says_nothing() -> None:
    assert compiled_for("#pragma once\n#define AT_CUDNN_ENABLED() 1\n") is None
    assert compiled_for('// #define NVCC_FLAGS_EXTRA "code=sm_90"\n') is None


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("__version__ = '2.11.0+cu130'\ngit_version = '34c5'\n", "cu130"),
        ('__version__: str = "0.29.2+cpu"\n', "cpu"),
        ("__version__ = '0.29.2'\ngit_version = 'f122'\n", None),
        ("__version__ = '0.20.0a0+afc54f7'\n", None),
        ("# __version__ = '1+cu130'\n", None),
    ],
)
def test_the_build_that_a_companion_names_in_its_version(text: str, variant: str | None) -> None:
    assert variant_in(text) == variant


def test_version_file_of_cuda_and_cpu_builds() -> None:
    assert built_with(version_file("2.10.0+cu128", cuda="12.8", git="abc"))["cuda"] == "12.8"
    assert built_with(version_file("2.10.0+cpu", cuda=None, git="abc")) == {
        "cuda": None,
        "git_version": "abc",
        "hip": None,
        "rocm": None,
        "xpu": None,
    }
    assert built_with("__version__ = '1.7.0'\ndebug = False\ncuda = '10.2'\n") == {"cuda": "10.2"}


def test_requirements_and_python() -> None:
    metadata = render_metadata("torch", "2.10.0+cu128", requires=["a==1; x=='y'", "b"], requires_python=">=3.10")
    name = "torch-2.10.0+cu128-cp312-cp312-win_amd64.whl"
    assert requirements_of(metadata, filename=name) == (("a==1; x=='y'", "b"), ">=3.10")


@pytest.mark.parametrize(("project", "version"), [("torch", "2.9.0"), ("evil", "2.10.0"), ("torch", "x")])
def test_metadata_of_another_package_is_refused(project: str, version: str) -> None:
    metadata = render_metadata(project, version, requires=(), requires_python=None)
    with pytest.raises(IntegrityError, match="not its own"):
        requirements_of(metadata, filename="torch-2.10.0-cp312-cp312-win_amd64.whl")


def test_only_the_wheels_own_metadata_counts() -> None:
    assert is_metadata("torch-2.10.0.dist-info/METADATA")
    assert not is_metadata("torch/vendor/x-1.0.dist-info/METADATA")
    assert not is_metadata("torch-2.10.0.dist-info/licenses/METADATA")


def test_a_cuda_that_is_no_version_is_not_told() -> None:
    assert "cuda" not in built_with("cuda = 'latest'\ngit_version = 'abc'\n")
    assert built_with("cuda: str | None = None\n") == {"cuda": None}
