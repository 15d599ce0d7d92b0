"""A cloned repository: nothing it contains is executed, chooses a source without a word, or leads out of it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.cli import Person
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

SCRIPT = Path(sys.executable).with_name("gpuenv")
CODE = "open('OWNED', 'a').write('x')\n"
SHELL = "#!/bin/sh\ntouch OWNED\n"


def index_of(name: str, version: str) -> IndexServer:
    server = IndexServer()
    server.add(torch_wheel(version, "cpu", tag=TAG, requires=["helper"]), folder="cpu")
    server.add_package(build_wheel("helper", version, files={"helper/__init__.py": f"NAME = {name!r}\n"}))
    return server


@pytest.fixture
def good() -> Iterator[IndexServer]:
    with index_of("good", "2.10.0") as server:
        yield server


@pytest.fixture
def other() -> Iterator[IndexServer]:
    """A source that the repository would like to be asked: its versions are higher."""
    with index_of("other", "9.9.0") as server:
        yield server


@pytest.fixture
def person(tmp_path: Path, good: IndexServer) -> Person:
    person = Person.at(tmp_path, PIP_INDEX_URL=good.default_index, GPUENV_PYTHON=PYTHON, GPUENV_PROFILE="team")
    person = replace(person, fresh=True)  # what a start of Python finds in the folder is part of it
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
    return person


def test_nothing_in_it_is_executed_and_no_other_tools_settings_are_read(
    person: Person, good: IndexServer, other: IndexServer
) -> None:
    """With the current folder on PATH, as some people have it."""
    for name in ("sitecustomize.py", "usercustomize.py", "torch.py", "numpy.py", "platformdirs.py", "pynvml.py"):
        person.write(name, CODE)
    for name in ("uv", "nvidia-smi", "python3", "ldconfig", "sbatch", "squeue", "cc", "git"):
        person.write(name, SHELL).chmod(0o755)
    person.write("uv.toml", f'index-url = "{other.default_index}"\n')
    person.write("pip.conf", f"[global]\nindex-url = {other.default_index}\n")
    person.write(".env", f"UV_INDEX={other.default_index}\nGPUENV_INDEX={other.default_index}\n")
    person.write(".python-version", "2.7\n")
    table = f'[[tool.uv.index]]\nname = "o"\nurl = "{other.default_index}"\ndefault = true\n'
    person.write("pyproject.toml", f'[project]\nname = "x"\nversion = "0"\n{table}')
    world = person.world(PATH=f".:{os.environ['PATH']}:", GPUENV_TORCH_INDEX=good.torch_index)
    for words in (("create", "--no-verify"), ("detect",), ("doctor", ".venv-gpu"), ("verify", ".venv-gpu")):
        run = subprocess.run(
            [SCRIPT, *words], cwd=person.project, env=world, capture_output=True, text=True, check=False, timeout=300
        )
        assert run.returncode in (0, 1), run.stderr
        assert "OWNED" not in person.files(), words
    assert other.log == []


@pytest.mark.parametrize("file", ["gpuenv.toml", "pyproject.toml"])
def test_a_source_that_it_chooses_is_said_also_with_q(
    file: str, person: Person, good: IndexServer, other: IndexServer
) -> None:
    rows = {
        "torch-index": f'"{other.torch_index}"',
        "index": f'"{other.default_index}"',
        "find-links": '["wheels"]',
        "allow-host": '["files.example"]',
    }
    (person.project / "wheels").mkdir()
    table = "[tool.gpuenv]\n" if file == "pyproject.toml" else ""
    person.write(file, table + "".join(f"{key} = {value}\n" for key, value in rows.items()))
    run = person.run("create", "--no-verify", "-q")
    assert run.code == 0, run.err
    place = "gpuenv.toml" if file == "gpuenv.toml" else "pyproject.toml [tool.gpuenv]"
    assert set(run.err.splitlines()) == {
        f"torch comes from {other.torch_index} (torch-index in {place}), not from PyTorch's own index",
        f"packages beside torch's come from {other.default_index} (index in {place})",
        f"wheels come from {person.project / 'wheels'} (find-links in {place})",
        f"torch's index may lead to files.example (allow-host in {place})",
    }
    mine = ("--torch-index", good.torch_index, "--index", good.default_index, "--find-links", "", "--allow-host", "h")
    run = person.run("lock", "--upgrade", "-q", *mine)
    assert run.code == 0, run.err
    assert run.err == f"torch comes from {good.torch_index} (--torch-index), not from PyTorch's own index\n"


@pytest.mark.parametrize("name", ["lockfiles", "evidence", "evidence/team", "evidence/team.failed", "deep"])
def test_a_link_that_leads_out_of_it_is_not_written_through(name: str, person: Person, good: IndexServer) -> None:
    outside = person.home / "documents"
    outside.mkdir()
    (outside / "README.md").write_text("mine")
    before = sorted(outside.iterdir())
    link = person.project / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    if name == "deep":
        profile = (person.project / "profiles/team.toml").read_text()
        person.write("profiles/team.toml", profile + 'environment = "deep/env"\n')
    where = ("--torch-index", good.torch_index)
    run = person.run("create", *(["--no-verify"] if name in ("lockfiles", "deep") else []), *where)
    assert (run.code, "a link that leads out of the project" in run.err) == (2, True), run.err
    assert sorted(outside.iterdir()) == before
    assert {path.read_text() for path in before} == {"mine"}
    subprocess.run(shlex.split(run.err.split("`")[-2]), cwd=person.project, check=True)
    assert person.run("create", "--no-verify", *(["env"] if name == "deep" else []), *where).code == 0


def test_what_a_person_names_may_lie_anywhere(person: Person, good: IndexServer) -> None:
    outside = person.home / "environments"
    outside.mkdir()
    (person.project / "out").symlink_to(outside)
    assert person.run("create", "--no-verify", "out/env", "--torch-index", good.torch_index).code == 0
    assert (outside / "env" / "gpuenv.json").is_file()
