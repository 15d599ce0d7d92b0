"""Each rule of a lock's agreement with itself, by the smallest edit that breaks it and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from gpuenv import knowledge as tables
from gpuenv.lock.making import profile_digest
from gpuenv.lock.model import Lock
from gpuenv.lock.soundness import faults_of, is_complete
from gpuenv.model.profile import Profile
from support.locks import decided, inputs, lock_of, package

PROFILE = Profile(
    name="blackwell",
    origin="test",
    description="",
    accelerator="cuda",
    packages=("torch", "einops>=0.8", "x; python_version < '3'"),
)
FILES = "https://files.example/packages"


def other(name: str, version: str, **changes: Any) -> Any:
    url = f"{FILES}/{name}-{version}-py3-none-any.whl"
    return package(name, version, **{"url": url, "source": "package-index", "dependencies": (), "row": 7} | changes)


TORCH = package(
    "torch",
    "2.10.0+cu128",
    family=True,
    requires=("filelock>=3", "triton==3.6.0; sys_platform == 'linux'", "sympy; sys_platform == 'win32'", "not a name!"),
    dependencies=("filelock", "triton"),
    row=0,
)
TRITON = package("triton", "3.6.0", family=True, dependencies=(), row=1)
FILELOCK, EINOPS = other("filelock", "3.19.0"), other("einops", "0.8.1")


def sound(*packages: Any, **changes: Any) -> Lock:
    values: dict[str, Any] = {
        "inputs": inputs(
            profile_digest=profile_digest(PROFILE),
            family_hosts=("download.pytorch.org",),
            package_hosts=("files.example",),
        ),
        "decision": decided(family=("torch==2.10.0+cu128",)),
    }
    return lock_of(*(packages or (TORCH, TRITON, FILELOCK, EINOPS)), **(values | changes))


def rows(lock: Lock, profile: Profile | None = PROFILE) -> list[str]:
    return [str(fault) for fault in faults_of(lock, profile=profile, knowledge=tables.load())]


def test_a_sound_lock_has_no_fault() -> None:
    assert rows(sound()) == []
    assert rows(sound(), None) == []
    assert is_complete(sound())


def early(lock: Lock) -> Lock:
    """As an early gpuenv wrote it."""
    packages = tuple(replace(each, dependencies=None) for each in lock.packages)
    return replace(
        lock,
        inputs=replace(lock.inputs, family_hosts=None, package_hosts=None),
        decision=replace(lock.decision, family=()),
        packages=packages,
    )


def test_an_early_lock_is_judged_by_what_it_records() -> None:
    assert rows(early(sound())) == []
    assert not is_complete(early(sound()))
    (fault,) = rows(early(sound(TORCH, TRITON, EINOPS)))
    assert "needs filelock>=3, which is not locked" in fault


def instead(one: Any, **changes: Any) -> Lock:
    """The sound lock with one package changed."""
    return sound(*(replace(each, **changes) if each is one else each for each in (TORCH, TRITON, FILELOCK, EINOPS)))


EVIL = "https://evil.example/torch-2.10.0%2Bcu128-py3-none-any.whl"
FAULTS: dict[str, tuple[Callable[[], Lock], str]] = {
    "decided torch": (lambda: sound(decision=decided(torch="2.9.0+cu128")), "packages[0].version: torch is 2.10.0"),
    "decided twice": (
        lambda: sound(decision=decided(torch="2.9.0+cu128", family=("torch==2.10.0+cu128",))),
        "tool.gpuenv.decision.torch: is 2.9.0+cu128",
    ),
    "decided member": (
        lambda: sound(decision=decided(family=("torch==2.10.0+cu128", "torchvision==0.25.0"))),
        "packages: torchvision 0.25.0 was decided, and no package has that name",
    ),
    "accelerator": (
        lambda: sound(decision=decided(accelerator="cpu")),
        "tool.gpuenv.decision.variant: is cu128, and the accelerator is cpu",
    ),
    "variant": (lambda: sound(decision=decided(variant="cu130")), "is cu130, and torch 2.10.0+cu128 is another build"),
    "channel": (
        lambda: sound(decision=decided(channel="nightly")),
        "tool.gpuenv.decision.channel: is nightly, and torch 2.10.0+cu128 is of another channel",
    ),
    "profile": (
        lambda: sound(inputs=replace(sound().inputs, profile="hopper")),
        "tool.gpuenv.inputs.profile: is hopper, and the lock is used for blackwell",
    ),
    "decided family": (
        lambda: sound(decision=decided(family=("torchvision==0.25.0",))),
        "tool.gpuenv.decision.family: leaves out torch, which the profile asks for",
    ),
    "file of another": (lambda: instead(FILELOCK, name="fileloch"), "is a wheel of filelock, not of fileloch"),
    "file of another version": (lambda: instead(TRITON, version="3.6.1"), "is a wheel of 3.6.0, not of 3.6.1"),
    "no wheel": (lambda: instead(EINOPS, filename="einops-0.8.1.tar.gz"), "packages[7].wheels[0].name: Invalid wheel"),
    "link to another file": (
        lambda: instead(EINOPS, url=f"{FILES}/x-1-py3-none-any.whl"),
        "wheels[0].url: leads to x-1",
    ),
    "no mark": (lambda: instead(TRITON, family=False), "packages[1].tool.gpuenv.family: triton may come from torch's"),
    "a mark": (lambda: instead(EINOPS, family=True), "einops is marked as released with torch, and is not"),
    "family elsewhere": (
        lambda: instead(TORCH, url=EVIL),
        "packages[0].wheels[0].url: torch would come from evil.exam",
    ),
    "family by path": (
        lambda: instead(TORCH, url=None, path="/x/torch-2.10.0+cu128-py3-none-any.whl"),
        "packages[0].wheels[0].path: torch would come from file",
    ),
    "other elsewhere": (
        lambda: instead(EINOPS, url="https://evil.example/einops-0.8.1-py3-none-any.whl"),
        "packages[7].wheels[0].url: einops would come from evil.example; this lock takes it from files.example",
    ),
    "source": (
        lambda: instead(TORCH, source="mirror"),
        "packages[0].tool.gpuenv.source: is mirror, and torch's source",
    ),
    "profile's version": (
        lambda: instead(EINOPS, version="0.7.0"),
        "0.7.0 is locked, and the profile or the project asks for einops>=0",
    ),
    "requirement": (lambda: sound(TORCH, FILELOCK, EINOPS), "needs triton==3.6.0, which is not locked"),
    "requirement's version": (
        lambda: instead(TORCH, requires=("filelock>=4",)),
        "packages[7].version: torch 2.10.0+cu128 needs filelock>=4, and 3.19.0 is locked",
    ),
    "dependency": (
        lambda: instead(EINOPS, dependencies=("numpy",)),
        "packages[7].dependencies: einops 0.8.1 needs numpy, which is not locked",
    ),
    "no dependencies": (lambda: instead(EINOPS, dependencies=None), "packages[7].dependencies: is missing"),
    "superfluous": (
        lambda: sound(TORCH, TRITON, FILELOCK, EINOPS, other("startup", "1.0")),
        "packages[7].name: neither profile, project nor a package of the lock asks for startup 1.0",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_an_edit_is_named_with_its_row(name: str) -> None:
    make, said = FAULTS[name]
    found = rows(make())
    assert any(said in each for each in found), found


def test_what_only_the_profile_asks_for_is_not_judged_by_another_profile() -> None:
    other_profile = replace(PROFILE, packages=("torch",))
    assert rows(sound(), other_profile) == []
