"""A refusal on the real command line: its hints are typed as they stand, and end with exit 0."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.nights import TAG, where
from support.wheels import build_wheel, torch_wheel

pytestmark = pytest.mark.xdist_group("recorded-index")


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.serve_day("2026-03-01", variants=["cpu", "cu118", "cu124", "cu126", "cu128", "cu130"])
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    found = Person.at(tmp_path)
    found.write("v100.json", machine_json("7.0", driver="580.95.05", cuda="13.0", name="Tesla V100-SXM2-16GB"))
    found.write("rtx.json", machine_json("8.9", driver="580.95.05", cuda="13.0", name="NVIDIA GeForce RTX 4090"))
    return found


def offered(text: str) -> list[list[str]]:
    """The commands in the hints, as words behind the program's name."""
    return [shlex.split(found) for found in re.findall(r"is chosen: `gpuenv ([^`]+)`", text)]


@pytest.mark.parametrize(
    ("words", "code", "said", "number"),
    [
        ("resolve --machine v100.json --torch ==2.7.1 --variant cu128", 3, "no wheel of torch 2.7.1 in cu128", 2),
        ("lock --dry-run --machine rtx.json --variant cuda12.8", 2, "there is no CUDA variant named cuda12.8", 1),
        ("resolve --machine rtx.json --torch ==2.1.2+cu118 --python 3.13", 3, "for Python 3.13 is offered", 2),
        ("resolve --machine rtx.json --profile cpu --variant cu128", 2, "cu128 is a CUDA build", 2),
    ],
)  # fmt: skip
def test_the_hints_of_a_refusal_work_as_they_stand(
    person: Person, index: IndexServer, words: str, code: int, said: str, number: int
) -> None:
    command, where = shlex.split(words), ("--torch-index", index.torch_index)
    refused = person.run(*command, *where)

    assert (refused.code, said in refused.err) == (code, True), refused.err
    commands = offered(refused.err)
    assert len(commands) == number
    for each in commands:
        if each[0] == "lock":
            each = ["resolve", *(word for word in each[1:] if word != "--dry-run")]  # decide, without a package index
        done = person.run(*each)
        assert done.code == 0, done.err
        (torch,) = [line for line in done.out.splitlines() if line.startswith("torch ")]
        assert torch.split()[1].rstrip(",") in refused.err


def test_the_reason_is_that_of_all_sources_together(person: Person, index: IndexServer) -> None:
    """A folder with an old build is asked first; what the index behind it lacks is as much of a reason."""
    folder = person.project / "wheels"
    folder.mkdir()
    made = torch_wheel("2.5.1+cu118", "cu118", tag="cp312-cp312-manylinux_2_28_x86_64", archs=("sm_50",), local=False)
    (folder / made.filename).write_bytes(made.body)
    words = ("resolve", "--machine", "v100.json", "--torch", "==2.7.1", "--variant", "cu128")
    alone = person.run(*words, "--torch-index", index.torch_index)
    both = person.run(*words, "--find-links", "wheels", "--torch-index", index.torch_index)

    assert [line for line in alone.err.splitlines() if line.startswith("error")] == [
        line for line in both.err.splitlines() if line.startswith("error")
    ]
    assert [each[-2:] for each in offered(both.err)] == [each[-2:] for each in offered(alone.err)] != []


def test_nothing_more_is_asked_of_the_index_where_there_is_an_answer(person: Person, index: IndexServer) -> None:
    before = len(index.requests())
    assert person.run("resolve", "--machine", "rtx.json", "--torch-index", index.torch_index).code == 0
    assert len(index.requests()) - before == 3


def test_every_package_of_the_profile_is_shown_and_one_that_is_nowhere_is_named(tmp_path: Path) -> None:
    person = Person.at(tmp_path)
    packages = '["torch", "flash-attn", "bitsandbytes>=0.45"]'
    person.write("profiles/team.toml", f'description = "kernels"\naccelerator = "cpu"\npackages = {packages}\n')
    with IndexServer() as server:
        server.add(torch_wheel("2.9.1", "cpu", tag=TAG, requires=("filelock",)), folder="cpu")
        for name, version in (("filelock", "3.19.0"), ("bitsandbytes", "0.45.0")):
            server.add_package(build_wheel(name, version))
        resolved, locked = person.run("resolve", *where(server)), person.run("lock", *where(server))

    shown = [line.partition(":")[0].partition(">")[0].split()[0] for line in resolved.out.splitlines()]
    assert {"torch", "flash-attn", "bitsandbytes"} <= set(shown)
    assert "error: flash-attn is not on the package index that was asked\n" in locked.err
    assert "cause: error" not in locked.err
    assert "cause: cause" not in locked.err
