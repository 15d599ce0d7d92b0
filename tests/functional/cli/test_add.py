"""`add` and `remove` change file, lock and environment together, or nothing at all."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import Person, Run
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

PROFILE = 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]  # ours\n'
PYPROJECT = f"""\
[project]
name = "mine"
version = "0"
requires-python = ">={PYTHON}"
dependencies = [
    "filelock",  # mine
]
"""


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        server.add(torch_wheel("2.11.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        for name in ("filelock", "six", "einops"):
            server.add_package(build_wheel(name, "1.0"))
        server.add_package(build_wheel("apphold", "1.0", requires=["torch==2.10.0", "six"]))
        server.add_package(build_wheel("impossible", "1.0", requires=["torch==1.0"]))
        yield server


@pytest.fixture
def person(tmp_path: Path, index: IndexServer) -> Person:
    person = Person.at(
        tmp_path, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON,
        GPUENV_PROFILE="team",
    )  # fmt: skip
    person.write("profiles/team.toml", PROFILE)
    return person


def locked(person: Person, name: str = "team") -> dict[str, str]:
    packages: list[dict[str, Any]] = tomllib.loads((person.project / f"lockfiles/pylock.{name}.toml").read_text())[
        "packages"
    ]
    return {each["name"]: each["version"] for each in packages}


def installed(person: Person) -> set[str]:
    (site,) = (person.project / ".venv-gpu").glob("lib/python*/site-packages")
    return {each.name.partition("-")[0] for each in site.glob("*.dist-info")}


def must(person: Person, *words: str) -> Run:
    run = person.run(*words)
    assert run.code == 0, run.err
    return run


def test_a_project_s_file_its_lock_and_its_environment_change_together(person: Person) -> None:
    path = person.write("pyproject.toml", PYPROJECT)
    must(person, "create", "--no-verify", "--torch", "<2.11")
    added = must(person, "add", "--no-verify", "--torch", "<2.11", "six>=1", "einops")
    assert path.read_text() == PYPROJECT.replace("mine\n]", 'mine\n    "six>=1",\n    "einops",\n]')
    assert " + six==1.0" in added.out
    assert '+    "einops",' in added.err
    assert locked(person)["torch"] == "2.10.0+cpu"
    assert installed(person) == {"torch", "filelock", "six", "einops"}
    gone = must(person, "remove", "--no-verify", "--torch", "<2.11", "Six", "--json").json["data"]
    assert set(gone) == {"file", "change", "lock", "created"}
    assert (gone["file"], gone["lock"]["action"], gone["created"]["up_to_date"]) == ("pyproject.toml", "written", False)
    assert path.read_text() == PYPROJECT.replace("mine\n]", 'mine\n    "einops",\n]')
    assert installed(person) == {"torch", "filelock", "einops"}
    before = path.read_bytes(), (person.project / "lockfiles/pylock.team.toml").read_bytes()
    for words, said in (
        (("add", "--no-verify", "impossible"), "impossible"),
        (("add", "--lock-only", "not-there-at-all"), "not-there-at-all"),
        (("add", "six"), "did not prove itself"),  # this torch cannot
        (("add", "=2"), "is no requirement"),
        (("remove", "six"), "pyproject.toml does not ask for six"),
    ):
        run = person.run(*words)
        assert run.code != 0
        assert said in run.err
        assert (path.read_bytes(), (person.project / "lockfiles/pylock.team.toml").read_bytes()) == before, words
        assert installed(person) == {"torch", "filelock", "einops"}


def test_without_a_project_the_profile_says_it(person: Person) -> None:
    must(person, "add", "--lock-only", "apphold")
    assert (person.project / "profiles/team.toml").read_text() == PROFILE.replace('["torch"]', '["torch", "apphold"]')
    assert locked(person)["torch"] == "2.10.0+cpu"  # who pins it decides
    run = person.run("remove", "six")
    assert (run.code, "cause: it is there because of apphold" in run.err) == (2, True)
    must(person, "add", "--lock-only", "--profile", "cpu", "six")
    assert (
        "six" in tomllib.loads((person.project / "profiles/cpu.toml").read_text())["packages"]
    )  # a copy of gpuenv's own
    must(person, "remove", "--lock-only", "--profile", "cpu", "six")
    person.write("requirements.txt", "# what we need\nfilelock  # locks\n")
    must(person, "add", "--lock-only", "-r", "requirements.txt", "einops>=0.5")
    assert (person.project / "requirements.txt").read_text() == "# what we need\nfilelock  # locks\neinops>=0.5\n"


def test_a_package_and_an_environment_are_never_taken_for_each_other(person: Person) -> None:
    must(person, "create", "--no-verify")
    run = person.run("remove", ".venv-gpu")
    assert run.code == 2
    hint = run.err.split("`")[-2]
    assert hint == "gpuenv remove --env .venv-gpu"
    assert person.run("remove").code == 2
    assert person.run("remove", "six", "--env", ".venv-gpu").code == 2
    assert must(person, *shlex.split(hint)[1:], "--dry-run").out.startswith("Would remove")
    assert (person.project / ".venv-gpu/gpuenv.json").is_file()
