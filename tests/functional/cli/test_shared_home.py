"""Several projects with one home: nothing of one run reaches another."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from support.cli import Person, Run
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

PROFILE = 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n'
PROJECTS = 10
RUNS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """An index whose wheels say whose they are."""

    name: str
    server: IndexServer

    @property
    def where(self) -> tuple[str, ...]:
        options = ("--torch-index", self.server.torch_index, "--index", self.server.default_index)
        return ("--profile", "team", *options, "--python", PYTHON)


def mirror(name: str, server: IndexServer) -> Mirror:
    marks = {"torch/_mirror.py": f"NAME = {name!r}\n"}
    server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["helper"], files=marks), folder="cpu")
    server.add_package(build_wheel("helper", "1.0", files={"helper/__init__.py": f"NAME = {name!r}\n"}))
    return Mirror(name=name, server=server)


@pytest.fixture
def mirrors() -> Iterator[tuple[Mirror, Mirror]]:
    with IndexServer() as one, IndexServer() as two:
        yield mirror("one", one), mirror("two", two)


def project(home: Person, name: str) -> Person:
    folder = home.project.parent / name
    folder.mkdir()
    person = replace(home, project=folder)
    person.write("profiles/team.toml", PROFILE)
    return person


def kept(home: Person, name: str, mirror: Mirror) -> Person:
    """A project that has locked from a mirror and kept its wheels in the store of the home."""
    person = project(home, name)
    run = person.run("lock", "--keep", *mirror.where)
    assert run.code == 0, run.err
    return person


def contents(person: Person) -> dict[str, str]:
    """Whose bytes stand in the environment, by package."""
    (site,) = person.project.glob(".venv-*/lib/python*/site-packages")
    files = {"torch": site / "torch/_mirror.py", "helper": site / "helper/__init__.py"}
    return {name: path.read_text().strip() for name, path in files.items()}


def test_each_project_gets_the_bytes_of_its_own_lock(tmp_path: Path, mirrors: tuple[Mirror, Mirror]) -> None:
    """L1: ten projects, one home, the same profile and version from two mirrors, twenty builds at once."""
    home = Person.at(tmp_path)
    first = {each.name: kept(home, f"first-{each.name}", each) for each in mirrors}
    people: list[tuple[Person, Mirror]] = []
    for number in range(PROJECTS):
        own = mirrors[number % 2]
        folder = tmp_path / f"project-{number}"
        shutil.copytree(first[own.name].project, folder)
        people.append((replace(home, project=folder), own))

    def create(number: int) -> Run:
        person, own = people[number % PROJECTS]
        return person.run("create", "--no-verify", *own.where)

    with ThreadPoolExecutor(RUNS) as pool:
        runs = list(pool.map(create, range(RUNS)))

    assert [run.err for run in runs if run.code != 0] == []
    assert [run.err for run in runs if "damaged" in run.err] == []
    for person, own in people:
        assert contents(person) == dict.fromkeys(("torch", "helper"), f"NAME = {own.name!r}")
