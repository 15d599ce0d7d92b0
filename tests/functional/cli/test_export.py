"""What is exported is read back by the tools it is for: uv's project keeps the build, pip installs the rest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gpuenv.environment.uv import find_uv
from support.cli import Person
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

PROJECT = f"""\
[project]
name = "mine"
version = "0"
requires-python = ">={PYTHON}"
dependencies = ["lightning"]  # torch comes with it
"""
PROFILE = 'description = "t"\naccelerator = "cpu"\npackages = ["torch", "torchvision"]\n'


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    """Two builds of two torches on torch's index; on the default index newer ones than either."""
    with IndexServer() as server:
        for version, vision in (("2.9.1", "0.24.1"), ("2.10.0", "0.25.0")):
            for folder in ("cpu",):
                server.add(torch_wheel(version, folder, tag=TAG, requires=["filelock", "triton"]), folder=folder)
                needs = [f"torch=={version}"]
                server.add(build_wheel("torchvision", f"{vision}+{folder}", tag=TAG, requires=needs), folder=folder)
                server.add(build_wheel("triton", "3.5.0", tag=TAG), folder=folder)
        server.add_package(build_wheel("torch", "2.12.0", requires=["filelock"]))
        server.add_package(build_wheel("torchvision", "0.27.0", requires=["torch==2.12.0"]))
        server.add_package(build_wheel("triton", "3.9.0"))
        for name in ("filelock", "six"):
            server.add_package(build_wheel(name, "1.0"))
        server.add_package(build_wheel("lightning", "2.6", requires=["torch>=2.1", "torchvision"]))
        yield server


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, index: IndexServer) -> Person:
    """A project of uv, with the locks of two classes of machines."""
    folder = tmp_path_factory.mktemp("export")
    uv = Path(str(find_uv(os.environ).path))
    person = Person.at(
        folder, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON,
        UV_DEFAULT_INDEX=index.default_index, UV_PYTHON=sys.executable, UV_CACHE_DIR=str(folder / "uv"),
        PATH=f"{uv.parent}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    person.write("pyproject.toml", PROJECT)
    for name, torch in (("team", ""), ("old", "==2.9.1")):
        person.write(f"profiles/{name}.toml", PROFILE)
        run = person.run("lock", "--profile", name, *(("--torch", torch) if torch else ()))
        assert run.code == 0, run.err
    return person


def uv(person: Person, *words: str, **more: str) -> str:
    done = subprocess.run(
        ["uv", *words], cwd=person.project, env=person.world(**more), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def versions(person: Person, environment: str = ".venv") -> dict[str, str]:
    (site,) = (person.project / environment).glob("lib/python*/site-packages")
    found = (each.name.removesuffix(".dist-info").rpartition("-") for each in site.glob("*.dist-info"))
    return {name: version for name, _, version in found}


def test_uv_keeps_the_family_whatever_it_is_asked(person: Person, index: IndexServer) -> None:
    path = person.project / "pyproject.toml"
    shown = person.run("export", "--format", "uv", "--profile", "team", "--dry-run")
    assert (shown.code, path.read_text()) == (0, PROJECT), shown.err
    assert '+    "torch==2.10.0+cpu",' in shown.out
    done = person.run("export", "--format", "uv", "--profile", "team", "--json")
    assert (done.code, done.json["data"]["steps"]) == (0, ["uv lock", "uv sync"]), done.err
    written = path.read_text()
    assert written.startswith(PROJECT)
    assert written.count("# >>> gpuenv") == 1
    assert person.run("export", "--format", "uv", "--profile", "team").out.startswith(
        "pyproject.toml is as it should be"
    )
    assert person.run("lock", "--profile", "team", "--check").code == 0  # what was written asks gpuenv for nothing
    family = {"torch": "2.10.0+cpu", "torchvision": "0.25.0+cpu", "triton": "3.5.0"}
    for words in (("lock",), ("sync",), ("run", "python", "-c", "import torch"), ("add", "six"), ("lock", "--upgrade"),
                  ("sync",)):  # fmt: skip
        uv(person, *words)
        locked = (person.project / "uv.lock").read_text()
        assert f'name = "torch"\nversion = "2.10.0+cpu"\nsource = {{ registry = "{index.torch_index}/cpu" }}' in locked
    assert {name: versions(person)[name] for name in family} == family
    # `uv add` wrote its default index between our lines: that is the person's, and stays.
    assert person.run("export", "--format", "uv", "--undo").code == 0
    left = path.read_text()
    assert "gpuenv" not in left
    assert left.endswith(f'[[tool.uv.index]]\nurl = "{index.default_index}"\ndefault = true\n')
    assert '"six>=1.0"' in left
    path.write_text(PROJECT)


@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "with a mark"])
def test_a_project_with_the_line_ends_of_windows_keeps_them(person: Person, mark: str) -> None:
    path = person.project / "pyproject.toml"
    before = (mark + PROJECT.replace("\n", "\r\n")).encode()
    path.write_bytes(before)
    assert person.run("export", "--format", "uv", "--profile", "team").code == 0
    written = path.read_bytes()
    assert written.startswith(before)
    assert written.count(b"\n") == written.count(b"\r\n") > before.count(b"\n")
    assert person.run("export", "--format", "uv", "--undo").code == 0
    assert path.read_bytes() == before
    path.write_text(PROJECT)


def test_two_classes_are_groups_of_one_lock(person: Person) -> None:
    (person.project / "uv.lock").unlink(missing_ok=True)
    person.write("uv.toml", "")
    run = person.run("export", "--format", "uv", "team", "old", "--json")
    (person.project / "uv.toml").unlink()
    assert run.code == 0
    assert "uv.toml stands beside pyproject.toml" in run.err
    for step, torch in zip(run.json["data"]["steps"], ("2.10.0+cpu", "2.9.1+cpu"), strict=True):
        assert "UV_NO_SYNC=1" in step
        subprocess.run(["bash", "-ec", step], cwd=person.project, env=person.world(), check=True, capture_output=True)
        environment = step.split("UV_PROJECT_ENVIRONMENT=")[1].split()[0]
        assert versions(person, environment)["torch"] == torch
    assert person.run("export", "--format", "uv", "--undo").code == 0
    assert (person.project / "pyproject.toml").read_text() == PROJECT


def test_pip_installs_what_a_container_and_conda_are_told(person: Person, tmp_path: Path) -> None:
    wanted = {"torch": "2.10.0+cpu", "torchvision": "0.25.0+cpu", "triton": "3.5.0", "filelock": "1.0"}
    run = person.run("export", "--format", "dockerfile", "--profile", "team")
    assert run.code == 0, run.err
    file = re.search(r'COPY <<"EOF" (\S+)\n(.*?)\nEOF\n', run.out, re.DOTALL)
    assert file is not None
    (tmp_path / "requirements.txt").write_text(file[2])
    command = re.search(r"RUN python -m pip (install .*?) \\\n &&", run.out, re.DOTALL)
    assert command is not None
    words = command[1].replace("\\\n", " ").replace(file[1], "requirements.txt").split()
    assert install(tmp_path / "one", person, *words, cwd=tmp_path).items() >= wanted.items()

    text = person.run("export", "--format", "conda", "--profile", "team").out
    document = yaml.safe_load(text)
    assert document["dependencies"][:2] == [f"python={PYTHON}", "pip"]
    (tmp_path / "conda.txt").write_text("\n".join(document["dependencies"][2]["pip"]))
    assert install(tmp_path / "two", person, "install", "-r", "conda.txt", cwd=tmp_path).items() >= wanted.items()


def install(environment: Path, person: Person, *words: str, cwd: Path) -> dict[str, str]:
    """Let pip install into a new environment, offline but for the index."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin/python"), *words, "--no-index"]
    subprocess.run(pip, cwd=cwd, env=person.world(), check=True, capture_output=True)
    return versions(Person(home=person.home, project=environment.parent), environment.name)


def test_a_folder_for_an_editor_is_written_once_and_nobody_s_file_is_replaced(person: Person) -> None:
    run = person.run("export", "--format", "devcontainer", "--profile", "team")
    assert run.code == 0, run.err
    folder = person.project / ".devcontainer"
    head, _, body = (folder / "devcontainer.json").read_text().partition("\n")
    assert head.startswith("// torch 2.10.0+cpu")
    assert json.loads(body)["build"] == {"dockerfile": "Dockerfile"}
    assert (folder / "Dockerfile").read_text() == person.run("export", "--format", "dockerfile", "team").out
    again = person.run("export", "--format", "devcontainer", "--profile", "team")
    assert (again.code, again.out.count("is as it should be")) == (0, 2)
    (folder / "Dockerfile").write_text("FROM mine\n")
    refused = person.run("export", "--format", "devcontainer", "--profile", "team")
    assert (refused.code, (folder / "Dockerfile").read_text()) == (2, "FROM mine\n")
    assert "Dockerfile is not a file that gpuenv wrote" in refused.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("uv", "--profile", "nothing"), "there is no lock lockfiles/pylock.nothing.toml to export"),
        (("conda", "team", "old"), "--format conda takes one lock"),
        (("conda", "--undo"), "--undo takes out what --format uv wrote"),
    ],
)
def test_what_cannot_be_exported_is_said(person: Person, words: tuple[str, ...], said: str) -> None:
    run = person.run("export", "--format", *words)
    assert run.code == 2
    assert said in run.err


def test_wheels_in_a_folder_are_kept_and_carried_as_the_hints_say(tmp_path: Path, index: IndexServer) -> None:
    """A container does not have the folder: the two commands that are shown, run, fill one that it can be given."""
    folder, wheel = tmp_path / "wheels", torch_wheel("2.10.0", "cpu", tag=TAG, requires=["filelock"])
    folder.mkdir()
    (folder / wheel.filename).write_bytes(wheel.body)
    person = Person.at(tmp_path, GPUENV_PYTHON=PYTHON, GPUENV_FIND_LINKS=str(folder), GPUENV_INDEX=index.default_index)
    person.write("profiles/alone.toml", PROFILE.replace(', "torchvision"', ""))
    assert person.run("lock", "--profile", "alone").code == 0

    refused = person.run("export", "--format", "dockerfile", "alone")
    assert refused.code == 2
    commands = re.findall(r"`gpuenv ([^`]+)`", refused.err)
    assert len(commands) == 2, refused.err
    for command in commands:
        run = person.run(*command.split())
        assert run.code == 0, run.err
    assert {path.name.partition("-")[0] for path in person.project.glob("carried/**/*.whl")} >= {"torch", "filelock"}
