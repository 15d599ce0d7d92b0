"""Whether a lock still means what profile and options ask for: each thing that can be asked, met and not met."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpuenv.lock.making import profile_digest
from gpuenv.model.profile import Profile
from gpuenv.report import Silent
from gpuenv.steps.context import Context, Options
from gpuenv.steps.lock import still_meant
from support.locks import decided, inputs, lock_of

PROFILE = Profile(name="blackwell", origin="test", description="", accelerator="cuda", packages=("torch",))
LOCK = lock_of(inputs=inputs(profile_digest=profile_digest(PROFILE)))
NIGHTLY = replace(LOCK, decision=decided(torch="2.11.0.dev20260102+cu128", channel="nightly"))


def meant(options: Options, lock: Any = LOCK, profile: Profile = PROFILE) -> bool:
    nowhere = Path("/nonexistent")
    places: dict[str, Path] = dict.fromkeys(("project", "cache", "state", "config"), nowhere)
    return still_meant(Context(environ={}, reporter=Silent(), options=options, **places), profile, lock)


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(python="3.12", torch="==2.10.*", channel="stable", variant="cu128"),
        Options(channel="auto"),
        Options(torch=">=2.10"),
    ],
)
def test_a_lock_that_is_what_was_asked_for_is_meant(options: Options) -> None:
    assert meant(options)


@pytest.mark.parametrize(
    "options",
    [
        Options(python="3.13"),
        Options(torch="<2.10"),
        Options(torch="==2.10.1"),
        Options(channel="nightly"),
        Options(variant="cu130"),
        Options(variant="cpu"),
    ],
)
def test_each_option_that_asks_for_something_else_ends_it(options: Options) -> None:
    assert not meant(options)


def test_another_channel_ends_a_lock_of_nightlies_too_and_auto_leaves_it() -> None:
    assert meant(Options(channel="auto"), NIGHTLY)
    assert meant(Options(channel="nightly"), NIGHTLY)
    assert not meant(Options(channel="stable"), NIGHTLY)


def test_a_nightly_meets_a_wish_for_the_release_it_precedes() -> None:
    assert meant(Options(torch=">=2.10"), NIGHTLY)
    assert not meant(Options(torch=">=2.12"), NIGHTLY)


def test_a_profile_that_asks_for_something_else_ends_it() -> None:
    assert not meant(Options(), profile=replace(PROFILE, packages=("torch", "torchvision")))
    assert meant(Options(), profile=replace(PROFILE, description="said better"))
