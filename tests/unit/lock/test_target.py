"""A machine that is not this one, as markers and tags see it."""

from __future__ import annotations

import random

import pytest

from gpuenv.lock.model import MachineTarget
from gpuenv.lock.target import best_wheel, marker_environment, target_tags
from support.dependencies import linux

WINDOWS = linux(os="windows", libc=None)
MAC = linux(os="macos", arch="arm64", libc=None)
ARM = linux(arch="aarch64")


def pillow(*tags: str) -> list[str]:
    return [f"pillow-11.3.0-{tag}.whl" for tag in tags]


@pytest.mark.parametrize(
    ("target", "tags", "best"),
    [
        (
            linux(),
            (
                "cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64",
                "cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64",
                "cp312-cp312-manylinux_2_31_x86_64",
                "cp312-cp312-manylinux_2_28_aarch64",
                "cp312-cp312-win_amd64",
                "py3-none-any",
            ),
            "cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64",
        ),
        (linux(), ("cp312-abi3-manylinux1_x86_64", "py3-none-any"), "cp312-abi3-manylinux1_x86_64"),
        (linux(), ("cp313-cp313-linux_x86_64", "cp312-cp312-linux_x86_64"), "cp312-cp312-linux_x86_64"),
        (linux(), ("1-py3-none-any", "2-py3-none-any"), "2-py3-none-any"),
        (ARM, ("py3-none-manylinux2014_aarch64", "py3-none-manylinux2014_x86_64"), "py3-none-manylinux2014_aarch64"),
        (WINDOWS, ("cp312-cp312-win_amd64", "cp312-cp312-win_arm64", "py3-none-any"), "cp312-cp312-win_amd64"),
        (MAC, ("cp312-cp312-macosx_11_0_arm64", "cp312-cp312-macosx_10_13_x86_64"), "cp312-cp312-macosx_11_0_arm64"),
    ],
)
def test_the_best_of_several_wheels_in_any_order(target: MachineTarget, tags: tuple[str, ...], best: str) -> None:
    filenames = pillow(*tags)
    for seed in range(5):
        random.Random(seed).shuffle(filenames)
        assert best_wheel(filenames, target) == f"pillow-11.3.0-{best}.whl"


def test_tags_are_those_packaging_gives_for_this_machine() -> None:
    import platform
    import sys
    from itertools import filterfalse

    from packaging.tags import sys_tags

    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        pytest.skip("a Linux machine with glibc is compared with itself")
    here = linux(
        f"{sys.version_info.major}.{sys.version_info.minor}",
        arch=platform.machine(),
        libc="glibc " + ".".join(platform.libc_ver()[1].split(".")[:2]),
    )
    own = set(target_tags(here))
    assert list(filterfalse(own.__contains__, sys_tags())) == []


def test_markers() -> None:
    assert marker_environment(linux()) == {
        "implementation_name": "cpython",
        "implementation_version": "3.12.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": "3.12.0",
        "python_version": "3.12",
        "sys_platform": "linux",
    }
    assert marker_environment(WINDOWS)["platform_machine"] == "AMD64"
    assert marker_environment(linux(os="windows", arch="aarch64", libc=None))["platform_machine"] == "ARM64"
    assert marker_environment(MAC)["sys_platform"] == "darwin"
