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


def stored(home: Person) -> list[Path]:
    return sorted((home.home / ".local/state/gpuenv/store/sha256").glob("*/*/*.whl"))


def test_pruning_takes_nothing_that_another_project_locks(tmp_path: Path, mirrors: tuple[Mirror, Mirror]) -> None:
    """L6: a lock that is not found again, or is another one now, is named, and nothing is removed without --forget."""
    home = Person.at(tmp_path)
    one, two = (kept(home, each.name, each) for each in mirrors)
    other = project(home, "other")
    assert len(stored(home)) == 4
    run = other.run("store", "prune", "--json")
    assert (run.code, run.json["data"]["removed"]) == (0, [])

    lock = one.project / "lockfiles/pylock.team.toml"
    lock.rename(lock.with_name("moved"))
    (two.project / "lockfiles/pylock.team.toml").write_text("another branch's")
    refused = other.run("store", "prune", "--json")
    assert refused.code == 2
    assert [cause.partition(": ")[0] for cause in refused.json["errors"][0]["causes"]] == [
        str(person.project / "lockfiles/pylock.team.toml") for person in (one, two)
    ]
    seen = other.run("store", "prune", "--dry-run", "--json").json["data"]
    assert [row["state"] for row in seen["unsure"]] == ["gone", "changed"]
    assert seen["removed"] == []
    assert len(stored(home)) == 4

    lock.with_name("moved").rename(lock)
    hint = refused.json["errors"][0]["hints"][0].split("`")[1]
    words = hint.split()[1:]
    assert len(other.run(*words, "--dry-run", "--json").json["data"]["removed"]) == 2
    assert len(stored(home)) == 4
    done = other.run(*words)
    assert done.code == 0, done.err
    assert len(stored(home)) == 2
    assert other.run("store", "prune").code == 0
    assert one.run("create", "--no-verify", "--offline", *mirrors[0].where).code == 0


def test_a_registration_that_cannot_be_read_is_no_leave_to_remove(
    tmp_path: Path, mirrors: tuple[Mirror, Mirror]
) -> None:
    home = Person.at(tmp_path)
    kept(home, "one", mirrors[0])
    (root,) = (home.home / ".local/state/gpuenv/store/roots").iterdir()
    root.write_text(root.read_text()[:-40])
    assert project(home, "other").run("store", "prune").code == 2
    assert len(stored(home)) == 2


def test_keep_hashes_what_is_there(tmp_path: Path, mirrors: tuple[Mirror, Mirror]) -> None:
    """L5: "Kept" is said of wheels that can be installed; offline the damaged one is named with its path."""
    home = Person.at(tmp_path)
    person = kept(home, "one", mirrors[0])
    helper, _ = stored(home) if "helper" in stored(home)[0].name else stored(home)[::-1]
    whole = helper.read_bytes()
    helper.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    refused = person.run("lock", "--keep", "--offline", "--json", *mirrors[0].where)
    assert refused.code == 5
    assert refused.json["errors"][0]["causes"][0] == str(helper)
    assert refused.json["errors"][0]["hints"][0].endswith("`gpuenv lock --keep --profile team`")
    run = person.run("lock", "--keep", *mirrors[0].where)
    assert run.code == 0, run.err
    assert "is damaged: fetching it again" in run.err
    assert "(1 new, 1 there already)" in run.err
    assert helper.read_bytes() == whole
