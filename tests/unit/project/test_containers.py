"""A lock as a container: the image that serves it, or what to type."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpuenv.errors import UsageError
from gpuenv.lock.model import Lock
from gpuenv.project.containers import base_image
from support.locks import lock_of


def of(**target: str | None) -> Lock:
    lock = lock_of()
    return replace(lock, inputs=replace(lock.inputs, target=replace(lock.inputs.target, **target)))


@pytest.mark.parametrize(
    ("libc", "image"), [("glibc 2.28", "bookworm"), ("glibc 2.36", "bookworm"), ("glibc 2.37", "trixie")]
)
def test_the_first_image_whose_library_serves(libc: str, image: str) -> None:
    found = base_image(of(os="linux", arch="x86_64", python="3.12", libc=libc))
    assert found.name == f"python:3.12-slim-{image}"


@pytest.mark.parametrize(("python", "near"), [("3.13t", "3.13"), ("3.9", "3.14")])
def test_another_python_is_named_only_where_an_image_has_it(python: str, near: str) -> None:
    with pytest.raises(UsageError) as raised:
        base_image(of(os="linux", arch="x86_64", python=python, libc="glibc 2.28"))
    (hint,) = raised.value.hints
    profile = lock_of().inputs.profile
    assert hint.endswith(f"`gpuenv lock --upgrade --profile {profile} --python {near}`")

    with pytest.raises(UsageError) as raised:
        base_image(of(os="linux", arch="x86_64", python="3.12", libc="glibc 2.99"))
    assert (raised.value.causes, raised.value.hints) == ((), ())
