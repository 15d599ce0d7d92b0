"""What `create` replaces: shown beforehand, kept on demand, put back, and nothing taken away unasked."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person, Run
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

ENV = ".venv-gpu"


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        server.add(torch_wheel("2.11.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        server.add_package(build_wheel("filelock", "3.0"))
        server.add_package(build_wheel("six", "1.17.0"))
        yield server


@pytest.fixture
def person(tmp_path: Path, index: IndexServer) -> Person:
    """Somebody whose settings stand in variables, so that hints are typed as they are printed."""
    (tmp_path / "temp").mkdir()
    return Person.at(
        tmp_path, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON,
        GPUENV_PROFILE="cpu", TMPDIR=str(tmp_path / "temp"),
    )  # fmt: skip


def create(person: Person, *words: str) -> Run:
    return person.run("create", "--no-verify", *words)


def torch_of(person: Person, folder: str = ENV) -> str:
    (site,) = (person.project / folder).glob("lib/python*/site-packages")
    (found,) = site.glob("torch-*.dist-info")
    return found.name.split("-")[1].partition("+")[0]


def install(person: Person, package: str, index: IndexServer) -> None:
    words = [find_uv(os.environ).path, "pip", "install", "-q", "--python", person.project / ENV, package]
    subprocess.run([*words, "--default-index", index.default_index], env=person.world(), check=True)


def tree(*folders: Path) -> dict[str, Any]:
    """Every name with its kind, mode, time and content."""
    found: dict[str, Any] = {}
    for path in (each for folder in folders for each in (folder, *folder.rglob("*"))):
        facts = path.lstat()
        what = (
            str(path.readlink()) if path.is_symlink() else path.is_file() and hashlib.sha256(path.read_bytes()).digest()
        )
        # A temporary folder is made and removed in the system's own.
        moment = 0 if path.name == "temp" else facts.st_mtime_ns
        found[str(path)] = (facts.st_mode, moment, what)
    return found


def everything(person: Person) -> dict[str, Any]:
    return tree(person.home, person.project, Path(person.environ["TMPDIR"]))


def test_a_dry_run_writes_nothing_and_says_what_would_come(person: Person, index: IndexServer) -> None:
    before = everything(person)
    run = create(person, "--dry-run", "--json")
    assert run.code == 0, run.err
    assert everything(person) == before
    data = run.json["data"]
    assert (data["dry_run"], data["torch"], data["lock_written"]) == (True, "2.11.0+cpu", True)
    assert {row["name"] for row in data["fetched"]} == {"torch", "filelock"}
    assert (data["replaced"], data["lost"], data["previous"], data["evidence"]) == (None, [], None, None)

    assert create(person, "--torch", "==2.10.0").code == 0
    install(person, "six", index)
    before = everything(person)
    run = create(person, "--dry-run", "--keep-previous", "--discard-added", "--json")
    assert (run.code, everything(person) == before) == (0, True), run.err
    data = run.json["data"]
    assert (data["lock_written"], data["fetched"]) == (False, [])
    assert (data["replaced"]["torch"], data["lost"]) == ("2.10.0+cpu", [{"name": "six", "version": "1.17.0"}])
    assert data["previous"] == str(person.project / ".venv-gpu.previous")
    run = person.run("create", "--dry-run", "--discard-added")
    assert (run.code, everything(person) == before) == (0, True), run.err
    assert "six 1.17.0, which was added to it, would be gone" in run.out
    assert "Would train in it and write evidence/cpu" in run.out


@pytest.mark.parametrize("offline", [(), ("--offline",)])
def test_a_dry_run_decides_anew_from_what_is_kept(person: Person, offline: tuple[str, ...]) -> None:
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
    assert create(person, "--profile", "team").code == 0
    (person.project / "lockfiles/pylock.team.toml").unlink()
    before = everything(person)
    run = create(person, "--profile", "team", "--dry-run", "--json", *offline)
    assert (run.code, everything(person) == before) == (0, True), run.err
    assert run.json["data"]["lock_written"]


def test_a_dry_run_says_what_create_would_stop_at(person: Person, index: IndexServer) -> None:
    assert create(person).code == 0
    install(person, "six", index)
    person.write("profiles/other.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
    before = everything(person)
    planned = create(person, "--dry-run", "--json", "--profile", "other")
    assert (planned.code, everything(person) == before) == (2, True)
    first, second = planned.json["errors"]
    assert first["message"].startswith(".venv-gpu is the environment of the profile cpu")
    assert second["causes"] == ["six 1.17.0, by uv"]
    assert planned.json["data"]["replaced"]["profile"] == "cpu"
    assert create(person, "--profile", "other").code == 2


def test_a_roll_back_puts_the_one_before_back(person: Person, index: IndexServer) -> None:
    refused = person.run("create", "--rollback")
    assert refused.code == 2
    assert "no environment before .venv-gpu is kept" in refused.err
    assert create(person, "--torch", "==2.10.0").code == 0
    assert person.run("create", "--rollback").code == 2
    hint = refused.err.split("`")[1]
    assert hint == "gpuenv create --keep-previous .venv-gpu"
    kept = person.run(*shlex.split(hint)[1:], "--no-verify", "--torch", ">=2.11")
    assert kept.code == 0, kept.err
    assert (torch_of(person), torch_of(person, f"{ENV}.previous")) == ("2.11.0", "2.10.0")

    before = everything(person)
    shown = person.run("create", "--rollback", "--dry-run")
    assert (shown.code, everything(person) == before) == (0, True), shown.err
    back = kept.err.split("`")[1]
    assert back == "gpuenv create --rollback .venv-gpu"
    run = person.run(*shlex.split(back)[1:])
    assert run.code == 0, run.err
    assert shown.out == run.out.replace("Put back", "Would put back").replace("Kept as", "Would keep as")
    assert (torch_of(person), torch_of(person, f"{ENV}.previous")) == ("2.10.0", "2.11.0")
    assert run.out.splitlines()[0].startswith(f"Put back {person.project / ENV}: torch 2.10.0+cpu of ")
    assert "It was built from another pylock.cpu.toml than stands here" in run.out
    assert person.run("doctor", ENV).code in (0, 1)

    again = person.run("create", "--rollback", "--json").json["data"]
    assert (again["now"]["torch"], again["before"]["torch"], again["other_lock"]) == ("2.11.0+cpu", "2.10.0+cpu", None)
    assert create(person).code == 0
    assert torch_of(person, f"{ENV}.previous") == "2.10.0"  # nothing was replaced
    assert create(person, "--rebuild").code == 0
    assert not (person.project / f"{ENV}.previous").exists()


def test_a_roll_back_takes_no_added_packages_away(person: Person, index: IndexServer) -> None:
    assert create(person, "--torch", "==2.10.0").code == 0
    assert create(person, "--torch", ">=2.11", "--keep-previous").code == 0
    install(person, "six", index)
    refused = person.run("create", "--rollback")
    assert (refused.code, torch_of(person)) == (2, "2.11.0")
    assert "rolling back .venv-gpu would take away 1 package that was added to it" in refused.err
    done = person.run(*shlex.split(refused.err.split("hint:")[1].split("`")[1])[1:])
    assert (done.code, torch_of(person)) == (0, "2.10.0")


def test_a_roll_back_builds_nothing(person: Person) -> None:
    run = person.run("create", "--rollback", "--no-verify", "--keep-previous")
    assert run.code == 2
    assert "--no-verify and --keep-previous would do nothing" in run.err
