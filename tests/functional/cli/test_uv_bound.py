"""What uv can do to the family of an environment: what is refused, and what is only seen and undone afterwards.

The table is docs/reference.md's, "What keeps torch, and what does not".
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person, command
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

ACTIVATED = ". .venv-gpu/bin/activate && "
RUN = f"{' '.join(command('run', '--'))} "
REFUSED = {
    "activated": ACTIVATED + "uv pip install torch==2.12.0",
    "a list with another": ACTIVATED + "echo torch==2.12.0 > r.txt && uv pip sync r.txt",
    "gpuenv run": RUN + "uv pip install torch==2.12.0",
}
REFUSED_AFTER_EXPORT = {
    "from the project's folder": "uv pip install --python .venv-gpu torch==2.12.0",
}
KEPT_AFTER_EXPORT = {
    "sync, aimed at it": "UV_PROJECT_ENVIRONMENT=.venv-gpu uv sync",
    "run, activated": ACTIVATED + "uv run --active python -c 1",
}
NOT_HELD = {
    "aimed from elsewhere": 'cd / && uv pip install --python "$OLDPWD/.venv-gpu" torch==2.12.0',
    "pip sync": ACTIVATED + "echo filelock > r.txt && uv pip sync r.txt",
    "uninstall": ACTIVATED + "uv pip uninstall torch",
}
NOT_HELD_BEFORE_EXPORT = {"sync, activated": ACTIVATED + "uv sync --active"}


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        server.add_package(build_wheel("torch", "2.12.0", requires=["filelock"]))
        server.add_package(build_wheel("filelock", "1.0"))
        yield server


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, index: IndexServer) -> Person:
    """A project of uv, and an environment of gpuenv in it."""
    folder = tmp_path_factory.mktemp("bound")
    uv = Path(str(find_uv(os.environ).path)).parent
    person = Person.at(
        folder, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON,
        GPUENV_PROFILE="team", UV_DEFAULT_INDEX=index.default_index, UV_CACHE_DIR=str(folder / "uv"),
        PATH=f"{uv}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
    text = f'[project]\nname = "x"\nversion = "0"\nrequires-python = "=={PYTHON}.*"\ndependencies = ["torch"]\n'
    person.write("pyproject.toml", text)
    assert person.run("create", "--no-verify").code == 0
    return person


def shell(person: Person, words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", words], cwd=person.project, env=person.world(), capture_output=True, text=True, check=False
    )


def torch(person: Person) -> list[str]:
    (site,) = (person.project / ".venv-gpu").glob("lib/python*/site-packages")
    return [each.name.split("-")[1].removesuffix(".dist") for each in site.glob("torch-*.dist-info")]


def refused(person: Person, words: str) -> None:
    done = shell(person, words)
    assert (done.returncode, torch(person)) == (1, ["2.10.0+cpu"]), done.stderr
    assert "torch==2.10.0+cpu" in done.stderr


def seen_and_undone(person: Person, words: str) -> None:
    done = shell(person, words)
    assert (done.returncode, torch(person) == ["2.10.0+cpu"]) == (0, False), done.stderr
    run = person.run("run", "python", "-V")
    assert run.code == 1
    assert "cause: torch 2.10.0+cpu " in run.err
    assert person.run("create", "--no-verify", "--discard-added").code == 0
    assert torch(person) == ["2.10.0+cpu"]


def test_what_uv_is_held_by(person: Person) -> None:
    for words in REFUSED.values():
        refused(person, words)
    for words in NOT_HELD_BEFORE_EXPORT.values():
        seen_and_undone(person, words)
    assert person.run("export", "--format", "uv").code == 0
    for words in REFUSED_AFTER_EXPORT.values():
        refused(person, words)
    for words in KEPT_AFTER_EXPORT.values():
        assert shell(person, words).returncode == 0
        assert torch(person) == ["2.10.0+cpu"], words
    for words in NOT_HELD.values():
        seen_and_undone(person, words)
