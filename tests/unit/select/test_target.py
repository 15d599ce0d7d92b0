"""Wheel tags of machines that are not this one."""

from __future__ import annotations

import pytest

from gpuenv.knowledge.rules import NoCode
from gpuenv.select.target import Refusal, TargetTags
from support.choosing import machine

LINUX = "3.12", "3.11"


def target(*pythons: str, **values: object) -> TargetTags:
    return TargetTags(machine(**values), pythons or LINUX)  # type: ignore[arg-type] # names are machine()'s


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("manylinux_2_28_x86_64", None),
        ("manylinux_2_39_x86_64", None),
        ("manylinux2014_x86_64", None),
        ("manylinux2014_x86_64.manylinux_2_17_x86_64", None),
        ("linux_x86_64", None),
        ("any", None),
        ("manylinux_2_40_x86_64", "libc"),
        ("manylinux_2_40_x86_64.manylinux_2_28_x86_64", None),
        ("musllinux_1_2_x86_64", "libc"),
        ("manylinux_2_28_aarch64", "platform"),
        ("win_amd64", "platform"),
        ("macosx_11_0_arm64", "platform"),
    ],
)
def test_linux(tag: str, reason: str | None) -> None:
    refusal = target(libc="glibc 2.39").refuses_platform(tag)
    assert (refusal and refusal.reason) == reason


@pytest.mark.parametrize(
    ("values", "tag", "fits"),
    [
        ({"os": "windows"}, "win_amd64", True),
        ({"os": "windows"}, "win32", False),
        ({"os": "windows", "arch": "aarch64"}, "win_arm64", True),
        ({"os": "windows", "arch": "aarch64"}, "win_amd64", False),
        ({"os": "macos", "arch": "arm64"}, "macosx_11_0_arm64", True),
        ({"os": "macos", "arch": "arm64"}, "macosx_11_0_universal2", True),
        ({"os": "macos", "arch": "arm64"}, "macosx_11_0_x86_64", False),
        ({"os": "linux", "arch": "aarch64"}, "manylinux_2_28_aarch64", True),
        ({"os": "linux", "arch": "aarch64"}, "linux_aarch64", True),
    ],
)
def test_other_systems(values: dict[str, object], tag: str, fits: bool) -> None:
    assert (target(**values).refuses_platform(tag) is None) is fits


def test_unknown_libc_is_not_compatible_unless_insisted() -> None:
    on = machine(libc=None)
    assert TargetTags(on, LINUX).refuses_platform("manylinux_2_28_x86_64") == Refusal(
        "libc", "needs glibc; this machine's libc is unknown"
    )
    assert TargetTags(on, LINUX, insist_unknown=True).refuses_platform("manylinux_2_28_x86_64") is None


@pytest.mark.parametrize(
    ("pythons", "tags", "expected"),
    [
        (("3.12", "3.11"), ("cp312", "cp312"), ("3.12",)),
        (("3.12", "3.11"), ("cp311", "cp311"), ("3.11",)),
        (("3.12", "3.11"), ("py3", "none"), ("3.12", "3.11")),
        (("3.12", "3.11"), ("py2.py3", "none"), ("3.12", "3.11")),
        (("3.12", "3.9"), ("cp310", "abi3"), ("3.12",)),
        (("3.12",), ("cp312", "none"), ("3.12",)),
        (("3.13", "3.13t"), ("cp313", "cp313t"), ("3.13t",)),
        (("3.13", "3.13t"), ("cp313", "cp313"), ("3.13",)),
        (("3.7",), ("cp37", "cp37m"), ("3.7",)),
    ],
)
def test_pythons(pythons: tuple[str, ...], tags: tuple[str, str], expected: tuple[str, ...]) -> None:
    assert target(*pythons).accepts_pythons(*tags) == expected


def test_a_refused_python_says_which_it_was() -> None:
    assert target("3.12").accepts_pythons("cp310", "cp310") == Refusal("python", "for Python 3.10")
    assert target("3.13").accepts_pythons("cp313", "cp313t") == Refusal("abi", "for the free-threaded Python 3.13t")
    assert target("3.12").accepts_pythons("cp27", "cp27mu") == Refusal("python", "for Python 2.7")


def test_a_refusal_is_said_in_full_and_in_brief() -> None:
    driver = Refusal("driver", "needs driver 580.65.06", "a table", "found 570.26 (NVML)")
    assert (driver.detail, driver.brief) == (f"{driver.what} (a table); found 570.26 (NVML)", driver.what)
    pair = (NoCode(what="no code for sm_70", codes=tuple(f"sm_{number}" for number in (75, 80, 90, 120)), note="why"),)
    kernels = Refusal("kernels", codes=(("GPU 0: ", *pair), ("GPU 1, 2: ", NoCode(what="too old"))))
    assert kernels.detail == "GPU 0: no code for sm_70: sm_75 sm_80 sm_90 sm_120 (why); GPU 1, 2: too old"
    assert kernels.brief == "GPU 0: no code for sm_70: sm_75 … sm_120 (why); GPU 1, 2: too old"
