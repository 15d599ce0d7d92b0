"""docs/tutorial.md can be typed as it stands, and in the end uv runs the torch that gpuenv chose."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person, command
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.transcript import replayed, typed
from support.wheels import build_wheel, torch_wheel

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/tutorial.md").read_text("utf-8")
FAILS = "gpuenv check requirements.txt --machine h100 --machine rtx5090"
"""The one that says no."""


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    """Small wheels for a machine without a GPU; the default index has a newer torch than torch's own."""
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG), folder="cpu")
        for name, version in (("torchvision", "0.25.0"), ("torchaudio", "2.10.0")):
            server.add(build_wheel(name, f"{version}+cpu", tag=TAG, requires=["torch==2.10.0"]), folder="cpu")
        server.add_package(build_wheel("torch", "2.12.0"))
        for name in ("numpy", "safetensors"):
            server.add_package(build_wheel(name, "1.0"))
        yield server


@pytest.fixture
def person(tmp_path: Path, index: IndexServer) -> Person:
    """A new user, with gpuenv and uv on PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "uv").symlink_to(Path(str(find_uv(os.environ).path)).resolve())
    (programs / "gpuenv").write_text(f'#!/bin/sh\nexec {" ".join(command())} "$@"\n')
    (programs / "gpuenv").chmod(0o755)
    person = Person.at(
        tmp_path, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON,
        UV_DEFAULT_INDEX=index.default_index, UV_CACHE_DIR=str(tmp_path / "uv"), UV_PYTHON=sys.executable,
        PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    shutil.copytree(ROOT / "docs/tutorial", person.project, dirs_exist_ok=True)
    pyproject = person.project / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace(">=3.12", f">={PYTHON}"))  # the tests run on older ones too
    # These wheels are named torch and compute nothing.
    person.write("train.py", 'import torch\nprint("torch", torch.__version__)\n')
    return person


def test_every_command_of_the_tutorial_works(person: Person) -> None:
    said: dict[str, str] = {}

    def run(words: str) -> str:
        proving = words in ("gpuenv create", "gpuenv add safetensors")
        done = subprocess.run(
            ["bash", "-c", f"{words} --no-verify" if proving else words],
            cwd=person.project, env=person.world(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == (1 if words == FAILS else 0), f"{words}: {done.stderr}"
        said[words] = done.stdout
        return done.stdout

    replayed(PAGE, run)
    assert said["gpuenv run train.py"] == said["uv run train.py"] == "torch 2.10.0+cpu\n"
    assert "up to date" in said["gpuenv create"]  # the second one
    assert re.search(r"^torch 2.5.1\+cu124 +native sm_90 +no code$", said[FAILS], re.MULTILINE)
    assert "safetensors" in (person.project / "pyproject.toml").read_text()


def test_the_recorded_runs_agree() -> None:
    """What the page shows of the last two runs is the same torch, on the same device."""
    shown = {each.command: each.shown for each in typed(PAGE)}
    assert shown["gpuenv run train.py"].splitlines()[0].startswith("torch ")
    assert shown["gpuenv run train.py"].splitlines()[0] in shown["uv run train.py"]
