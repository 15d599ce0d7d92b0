"""select.alike: a rule asked once for many wheels says of each what it would say of it alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, product

import pytest

from gpuenv.knowledge import load
from gpuenv.model.wheel import Wheel
from gpuenv.select import rules
from gpuenv.select.alike import Checker
from gpuenv.select.candidates import parse_entry
from gpuenv.select.prepare import prepare
from gpuenv.select.target import Refusal
from support.choosing import machine, profile, request

LOOKED_AT: dict[str, tuple[str | None, ...]] = {
    "project": ("torch", "torchvision", "torchaudio", "numpy"),
    "version": ("9.1.0+cu128", "2.10.0", "9.1.0+cpu", "9.2.0rc1+cu130", "9.3.0.dev20260102", "9.1.0+rocm6", "latest"),
    "variant": ("cu128", None, "cpu", "rocm6.4"),
    "channel": ("stable", "nightly", "test"),
    "source": ("pytorch", "mirror", "package-index", "find-links"),
    "requires_python": (None, ">=3.10", "<3.12", ">=3."),
    "yanked": (None, "", "broken"),
    "upload_time": ("2026-01-01T00:00:00Z", None, "2026-03-01"),
    "sha256": ("a" * 64, None),
    "python": ("cp312", "cp313", "py3", "py2.py3", "cp311"),
    "abi": ("cp312", "abi3", "none", "cp313t", "cp312d"),
    "platform": ("linux_x86_64", "manylinux_2_40_x86_64", "win_amd64", "macosx_11_0_arm64", "any"),
    "build": ("", "1-", "x-y-"),
}
USUAL = {name: values[0] for name, values in LOOKED_AT.items()}
BASES = (
    USUAL,
    USUAL | {"version": "2.10.0", "variant": None, "source": "package-index"},
    USUAL | {"version": "9.3.0.dev20260102", "variant": None, "source": "find-links"},
    USUAL | {"project": "torchvision", "channel": "nightly", "sha256": None},
)


def _alike(base: dict[str, str | None], names: tuple[str, ...]) -> Iterator[Wheel]:
    """Wheels that differ in the things named, in every way, and are alike in everything else."""
    for number, chosen in enumerate(product(*(LOOKED_AT[name] for name in names))):
        one = base | dict(zip(names, chosen, strict=True))
        tags = "-".join(str(one.pop(name)) for name in ("python", "abi", "platform"))
        filename = f"{one['project']}-{one['version']}-{one.pop('build')}{tags}.whl"
        yield Wheel(filename=filename, url=f"https://h.example/{number}/{filename}", **one)  # type: ignore[arg-type]  # by field


@pytest.mark.parametrize(
    "more",
    [
        {}, {"exclude_newer": "2026-02-01"}, {"exclude_newer": "2026-02-01", "insist_unknown": True},
        {"require_hash": True}, {"exclude": ("torch==2.10.0",)}, {"channel": "nightly"},
        {"channel": "auto", "variant": "cu128"}, {"variant": "cpu"}, {"pythons": ("3.13t", "3.11")},
    ],
    ids=lambda more: "-".join(more) or "usual",
)  # fmt: skip
@pytest.mark.parametrize("os", ["linux", "macos"])
def test_wheels_that_are_alike_are_told_what_each_would_be_told_alone(os: str, more: dict[str, object]) -> None:
    """What one file is refused for is never said of another that differs in something the rule looks at."""
    here = machine("9.0") if os == "linux" else machine(os="macos", arch="arm64", driver=None)
    asked = request(**{"pythons": ("3.12",), **more})  # type: ignore[arg-type]  # names are checked by the dataclass
    problem = prepare(here, profile(packages=("torch", "torchvision")), asked, load())
    for base, names in product(BASES, combinations(LOOKED_AT, 2)):
        together = Checker(problem)
        for each in _alike(base, names):
            entry = parse_entry(each, load())
            said, alone = together.check(each), None if entry is None else rules.check(problem, entry)
            assert said == alone or (alone is None and isinstance(said, Refusal) and "readable" in said.what)
