"""What differs between two locks, or a lock and an environment."""

from __future__ import annotations

from dataclasses import replace

from gpuenv.lock.diff import diff
from support.dependencies import linux
from support.locks import decided, inputs, lock_of, package


def test_lines_are_uvs() -> None:
    before = lock_of(
        package("torch", "2.11.0.dev20260102+cu128", family=True, git="a" * 40),
        package("numpy", "2.3.0"),
        package("triton", "3.6.0", family=True),
        package("sympy", "1.14.0"),
    )
    after = lock_of(
        package("torch", "2.11.0.dev20260103+cu128", family=True, git="b" * 40),
        package("numpy", "2.3.0"),
        package("triton", "3.6.0", family=True, sha256="1" * 64),
        package("pillow", "12.0.0"),
    )
    assert diff(before, after).lines == (
        " + pillow==12.0.0",
        " - sympy==1.14.0",
        " - torch==2.11.0.dev20260102+cu128",
        " + torch==2.11.0.dev20260103+cu128 (commits aaaaaaaaaa..bbbbbbbbbb)",
        " ~ triton==3.6.0 (the file has other contents)",
    )
    assert not diff(before, before)


def test_another_file_of_the_same_version_is_named() -> None:
    one = lock_of(package("numpy", "2.3.0", tag="cp312-cp312-manylinux_2_28_x86_64"))
    other = lock_of(package("numpy", "2.3.0", tag="cp313-cp313-manylinux_2_28_x86_64", sha256="1" * 64))
    assert diff(one, other).lines == (
        " ~ numpy==2.3.0 (numpy-2.3.0-cp312-cp312-manylinux_2_28_x86_64.whl"
        " -> numpy-2.3.0-cp313-cp313-manylinux_2_28_x86_64.whl)",
    )


def test_circumstances_are_named_and_alone_make_no_diff() -> None:
    one = lock_of(package("torch", "2.10.0", family=True))
    other = replace(
        one,
        inputs=inputs(target=linux("3.13", driver=None), knowledge="later"),
        decision=decided(variant="cu130", channel="nightly"),
    )
    found = diff(one, other)
    assert not found
    assert found.circumstances == (
        "channel: stable -> nightly",
        "driver: 570.124.06 -> none",
        "knowledge: 2026-11-22+0123456789ab -> later",
        "python: 3.12 -> 3.13",
        "variant: cu128 -> cu130",
    )
