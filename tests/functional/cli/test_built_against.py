"""What a torch was compiled against, and does not say: the lock holds it, and what contradicts it is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

PYTHON_TAG = TAG.rpartition("-")[0]
PLATFORMS = {
    ("macos", "x86_64"): "macosx_10_9_x86_64",
    ("windows", "x86_64"): "win_amd64",
    ("linux", "x86_64"): "manylinux_2_28_x86_64",
}


@pytest.fixture(scope="module")
def server() -> Iterator[IndexServer]:
    with IndexServer() as made:
        for version in ("2.2.2", "2.3.1", "2.4.0", "2.4.1"):
            for (os, _), platform in PLATFORMS.items():
                variant = None if os == "macos" else "cpu"
                made.add(torch_wheel(version, variant, tag=f"{PYTHON_TAG}-{platform}"), folder="cpu")
        for version in ("1.26.4", "2.1.0"):
            made.add_package(build_wheel("numpy", version))
        yield made


@pytest.fixture
def person(tmp_path: Path, server: IndexServer) -> Person:
    return Person.at(tmp_path, GPUENV_PROFILE="team", GPUENV_TORCH_INDEX=server.torch_index,
                     GPUENV_INDEX=server.default_index, GPUENV_PYTHON=PYTHON)  # fmt: skip


def asked(person: Person, numpy: str, os: str) -> None:
    person.write("profiles/team.toml", f'description = "t"\naccelerator = "cpu"\npackages = ["torch", "{numpy}"]\n')
    person.write("there.json", machine_json(driver=None, os=os, arch="x86_64"))


@pytest.mark.parametrize(
    ("os", "torch", "numpy"),
    [
        ("macos", "2.2.2", "1.26.4"),
        ("linux", "2.2.2", "1.26.4"),
        ("linux", "2.3.1", "2.1.0"),
        ("windows", "2.3.1", "1.26.4"),
        ("windows", "2.4.0", "1.26.4"),
        ("windows", "2.4.1", "2.1.0"),
    ],
)
def test_the_lock_holds_the_numpy_that_torch_was_compiled_for(person: Person, os: str, torch: str, numpy: str) -> None:
    asked(person, "numpy", os)
    run = person.run("lock", "--machine", "there.json", "--torch", f"=={torch}")

    assert run.code == 0, run.err
    text = (person.project / "lockfiles/pylock.team.toml").read_text()
    assert re.search(r'name = "numpy"\nversion = "([^"]+)"', text)[1] == numpy  # type: ignore[index]  # it is there


def test_a_requirement_that_contradicts_it_is_refused_with_both(person: Person) -> None:
    asked(person, "numpy>=2", "macos")
    run = person.run("lock", "--machine", "there.json", "--torch", "==2.2.2")

    assert run.code == 6, run.err
    assert "you require numpy>=2 and numpy<2" in run.err
    assert "cause: torch 2.2.2 was compiled for NumPy 1: numpy<2 goes with it" in run.err
