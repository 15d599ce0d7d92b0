"""The smallest project there is: torch for the CPU and the package ``helper``, on a loopback index, by variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.cli import Person
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel


@contextmanager
def helper_index(*, hashed: bool = False) -> Iterator[IndexServer]:
    """The index; ``hashed`` tells whether it states the hash of torch."""
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["helper"]), folder="cpu", hashed=hashed)
        server.add_package(build_wheel("helper", "1.0", files={"helper/__init__.py": "X = 1\n"}))
        yield server


def helper_person(folder: Path, index: IndexServer, **environ: str) -> Person:
    """Somebody whose settings stand in variables, so that a hint can be typed as it is printed."""
    person = Person.at(
        folder, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON,
        GPUENV_PROFILE="team", **environ,
    )  # fmt: skip
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
    return person
