"""Where a command works: the project found upwards, typed paths in the current folder, no environment over a home."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.cli.project import find
from support.cli import Person, Run, command, machine_json
from support.index_server import IndexServer
from support.wheels import build_wheel, torch_wheel

PYTHON = f"{sys.version_info.major}{sys.version_info.minor}"
TAG = f"cp{PYTHON}-cp{PYTHON}-manylinux_2_28_x86_64"


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        server.add_package(build_wheel("filelock", "3.0"))
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.at(tmp_path)


def run_in(folder: Path, person: Person, *words: str, **environ: str) -> Run:
    done = subprocess.run(
        command(*words),
        cwd=folder,
        env=person.world(**environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return Run(code=done.returncode, out=done.stdout, err=done.stderr)


def where(index: IndexServer) -> tuple[str, ...]:
    return ("--profile", "cpu", "--no-verify", "--torch-index", index.torch_index, "--index", index.default_index)


def test_a_sub_folder_works_on_the_project_above_and_says_so(person: Person, index: IndexServer) -> None:
    assert person.run("create", *where(index)).code == 0
    sub = person.project / "src" / "deep"
    sub.mkdir(parents=True)
    asked = len(index.log)
    run = run_in(sub, person, "create", *where(index))
    assert run.code == 0, run.err
    assert run.err.splitlines()[0] == f"Project: {person.project}, above the current folder"
    assert len(index.log) == asked, "the lock of the project above was not found"
    assert list(sub.iterdir()) == []
    for words in (
        ("diff", "lock", ".venv-gpu"),
        ("lock", "--check", *(each for each in where(index) if each != "--no-verify")),
    ):
        assert run_in(sub, person, *words).code == 0, words
    assert "Project:" not in person.run("diff", "lock", ".venv-gpu").err


def test_typed_paths_are_the_current_folder_s_and_a_file_s_are_the_project_s(
    person: Person, index: IndexServer
) -> None:
    sub = person.project / "sub"
    sub.mkdir()
    person.write("pyproject.toml", '[tool.gpuenv]\nmachine = "machines/host.json"\n')
    person.write("machines/host.json", machine_json("12.0"))
    person.write("sub/other.json", machine_json("9.0", name="NVIDIA H200"))
    assert "5090" in run_in(sub, person, "detect").out
    assert "H200" in run_in(sub, person, "detect", "--machine", "other.json").out
    assert "H200" in run_in(sub, person, "detect", GPUENV_MACHINE="other.json").out
    # What the project alone has is meant there, as messages write it.
    assert "5090" in run_in(sub, person, "detect", "--machine", "machines/host.json").out
    made = run_in(sub, person, "create", "env", "--machine", "", *where(index))
    assert made.code == 2
    made = run_in(sub, person, "create", "env", *where(index), "--machine", "other.json", "--variant", "cpu")
    assert made.code == 0, made.err
    assert (sub / "env" / "bin" / "python").exists()


@pytest.mark.parametrize("mark", ["gpuenv.toml", "pyproject.toml", "lockfiles/pylock.auto.toml"])
def test_what_makes_a_project(mark: str, tmp_path: Path) -> None:
    current = tmp_path / "a" / "b" / "c"
    current.mkdir(parents=True)
    assert find(current, home=None) == current
    (tmp_path / "a" / mark).parent.mkdir(exist_ok=True)
    (tmp_path / "a" / mark).touch()
    assert find(current, home=None) == tmp_path / "a"
    (current.parent / "gpuenv.toml").touch()
    assert find(current, home=None) == current.parent, "the nearest counts"
    (current / "pyproject.toml").touch()
    assert find(current, home=None) == current


def test_the_home_folder_is_no_project_of_what_lies_in_it(tmp_path: Path) -> None:
    (tmp_path / "gpuenv.toml").touch()
    below = tmp_path / "work"
    below.mkdir()
    assert find(below, home=tmp_path) == below
    assert find(tmp_path, home=tmp_path) == tmp_path


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_above_is_not_believed(tmp_path: Path) -> None:
    """In a folder open to all (/tmp) anybody could set what `uv` is for those who work below."""
    below = tmp_path / "mine"
    below.mkdir()
    mark = tmp_path / "gpuenv.toml"
    mark.touch()
    os.chown(mark, 12345, 12345)
    assert find(below, home=None) == below
    os.chown(below, 12345, 12345)
    assert find(below, home=None) == tmp_path


@pytest.mark.parametrize("target", ["HOME", "/", ".", "..", "ABOVE", "full", "file", "link"])
def test_a_target_that_cannot_be_is_refused_before_anything_else(
    target: str, person: Person, index: IndexServer
) -> None:
    person.write("full/keep.txt", "mine")
    person.write("file", "mine")
    (person.project / "link").symlink_to("full")
    before = person.files()
    asked = len(index.log)
    words = {"HOME": str(person.home), "ABOVE": str(person.project.parent)}
    run = person.run("create", words.get(target, target), *where(index))
    assert run.code == 2, run.err
    assert run.err.startswith("error: "), "nothing is said before"
    assert len(index.log) == asked
    assert person.files() == before
    if target not in ("full", "file", "link"):
        assert "mv " not in run.err
        assert "rm " not in run.err


def test_the_profile_s_own_folder_is_looked_at_first_too(person: Person, index: IndexServer) -> None:
    person.write(".venv-gpu/keep.txt", "mine")
    asked = len(index.log)
    assert person.run("create", *where(index)).code == 2
    assert len(index.log) == asked
    assert not (person.project / "lockfiles").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("resolve", "--torch-index", "wheels.example.org/whl"),
        ("resolve", "--index", "localhost:8080/simple"),
        ("resolve", "--find-links", "wheels.example.org/links"),
        ("inspect", "wheels.example.org/whl/torch.whl"),
    ],
)
def test_an_address_without_its_scheme_is_told_so(words: tuple[str, ...], person: Person) -> None:
    run = person.run(*words)
    assert run.code == 2, run.err
    assert f"write https://{words[-1]}" in run.err
    if words[0] == "resolve":
        by_variable = {f"GPUENV_{words[1].strip('-').replace('-', '_').upper()}": words[2]}
        assert "write https://" in person.run("resolve", **by_variable).err
        value = f'["{words[2]}"]' if words[1] == "--find-links" else f'"{words[2]}"'
        person.write("gpuenv.toml", f"{words[1].strip('-')} = {value}\n")
        assert "write https://" in person.run("resolve").err


def test_a_folder_that_looks_like_an_address_is_a_folder(person: Person) -> None:
    (person.project / "wheels.example.org" / "links").mkdir(parents=True)
    run = person.run("resolve", "--find-links", "wheels.example.org/links", "--offline")
    assert "write https://" not in run.err
