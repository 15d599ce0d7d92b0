"""Packages that are built from their source for the torch that was chosen: only when named, and once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.sources import source_archive
from support.wheels import build_wheel, torch_wheel


@pytest.fixture
def torch_index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.12.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        yield server


@pytest.fixture
def package_index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add_package(build_wheel("filelock", "3.19.0"))
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch", "fast-op"]\n')
    return person


def words(torch_index: IndexServer, package_index: IndexServer) -> tuple[str, ...]:
    return (
        "--profile", "team", "--python", PYTHON,
        "--torch-index", torch_index.torch_index, "--index", package_index.default_index,
    )  # fmt: skip


def test_it_is_built_beside_torch_locked_by_its_hash_and_built_once(
    person: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    """The wheel says which torch it saw; the second lock takes it from the store, and `create` installs it."""
    mark = tmp_path / "ran"
    package_index.add_package(source_archive("fast-op", "1.0", mark=str(mark), requires=["filelock"]))
    where = words(torch_index, package_index)
    planned = person.run("resolve", "--build", "fast-op", *where)
    assert planned.code == 0, planned.err
    assert "fast-op 1.0" in planned.out
    assert "is built from fast_op-1.0.tar.gz for torch 2.12.0+cpu when it is locked" in planned.out
    assert not mark.exists()
    run = person.run("create", "--no-verify", "--build", "fast-op", *where)
    assert run.code == 0, run.err
    assert mark.exists()
    told = next(person.project.glob(".venv-gpu/lib/python*/site-packages/fast_op/__init__.py")).read_text("utf-8")
    assert "'torch': '2.12.0+cpu'" in told
    text = (person.project / "lockfiles/pylock.team.toml").read_text("utf-8")
    assert '"--build fast-op"' in text
    assert "fast-op 1.0 " in text
    assert "was built here from fast_op-1.0.tar.gz for torch 2.12.0+cpu" in text
    mark.unlink()
    again = person.run("lock", "--upgrade", *where)
    assert again.code == 0, again.err
    assert "Taking fast_op-1.0-py3-none-any.whl, which was built here before" in again.err
    assert not mark.exists()
    assert (person.project / "lockfiles/pylock.team.toml").read_text("utf-8") == text
    assert person.run("lock", "--check", *where).code == 0
    assert not [*person.home.glob(".cache/gpuenv/builds/*")]


def test_without_being_named_nothing_of_it_runs_and_the_command_that_is_shown_works(
    person: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    package_index.add_package(source_archive("fast-op", "1.0", mark=str(mark)))
    where = words(torch_index, package_index)
    run = person.run("lock", *where, COLUMNS="400")
    assert run.code == 6, run.err
    assert not mark.exists()
    assert "--build fast-op`" in run.err
    command = next(line.split("`")[-2] for line in run.err.splitlines() if "--build fast-op`" in line)
    done = person.run(*command.split()[1:])
    assert done.code == 0, done.err
    assert mark.exists()


def test_what_would_be_downloaded_in_a_build_is_not(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    from gpuenv.environment.source_build import find_isolation

    if not find_isolation(person.world()["PATH"]).prefix:
        pytest.skip("this system cuts no program off from the network")
    package_index.add_package(source_archive("fast-op", "1.0", fetch=package_index.default_index))
    run = person.run("lock", "--build", "fast-op", *words(torch_index, package_index), COLUMNS="400")
    assert run.code == 6, run.err
    assert "error: the build of fast-op 1.0 wanted to download something" in run.err
    assert "it is cut off from the network" in run.err
    assert not (person.project / "lockfiles/pylock.team.toml").exists()
    assert not [*person.home.rglob("fast_op*")]


def test_a_build_that_fails_says_its_last_words_and_leaves_nothing(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    package_index.add_package(source_archive("fast-op", "1.0", fail="no such template"))
    run = person.run(
        "lock",
        "--build",
        "fast-op",
        *words(torch_index, package_index),
        COLUMNS="400",
    )
    assert run.code == 6, run.err
    assert "error: the build of fast-op 1.0 failed" in run.err
    assert "no such template" in run.err
    assert not [*person.home.rglob("fast_op*")]


def test_a_name_that_nobody_asks_for_and_one_of_the_family(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    where = words(torch_index, package_index)
    run = person.run("resolve", "--build", "other-op", *where)
    assert run.code == 2, run.err
    assert "neither profile nor project asks for it" in run.err
    assert person.run("resolve", "--build", "torchvision", *where).code == 2


def test_no_archive_with_a_hash(person: Person, torch_index: IndexServer, package_index: IndexServer) -> None:
    run = person.run("lock", "--build", "fast-op", *words(torch_index, package_index), COLUMNS="400")
    assert run.code == 3, run.err
    assert "fast-op: no place that was asked has source of it with a hash" in run.err
    told = json.loads(person.run("lock", "--json", "--build", "fast-op", *words(torch_index, package_index)).out)
    assert told["errors"][0]["code"] == "no-fitting-wheel"
