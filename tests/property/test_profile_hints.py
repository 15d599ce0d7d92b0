"""A profile that is not for a machine: the profile that its hint names is one for it."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from gpuenv import profile as profiles
from gpuenv.knowledge import load
from gpuenv.select.request import ProfileMismatch, Request, fits
from gpuenv.system.files import read_text
from support.choosing import machine

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.stem for path in (ROOT / "profiles").glob("*.toml"))
CARDS = ((), ("5.2",), ("6.1",), ("7.0",), ("7.5",), ("8.6",), ("9.0",), ("10.0",), ("12.0",), ("7.0", "12.0"))
DRIVERS = ("470.82.01", "535.104.05", "570.124.06", "580.95.05")


@pytest.mark.parametrize("name", NAMES)
def test_the_profile_that_is_named_fits(name: str) -> None:
    named = 0
    for cards, driver, gpus in itertools.product(CARDS, DRIVERS, (None, (0,), (9,))):
        on, request = machine(*cards, driver=driver), Request(pythons=(), gpus=gpus, variant=None)

        def refused(profile: str, on=on, request=request) -> ProfileMismatch | None:  # type: ignore[no-untyped-def]
            read = profiles.load(profile, project=ROOT, user=ROOT / "no-such-folder", read=read_text)
            return fits(read, on, request, load())

        mismatch = refused(name)
        if mismatch is None:
            continue
        assert mismatch.hints
        for other in re.findall(r"--profile ([a-z0-9]+)", " ".join(mismatch.hints)):
            named += 1
            assert refused(other) is None, (cards, driver, gpus, mismatch)
    assert named or name in ("auto", "cpu")
