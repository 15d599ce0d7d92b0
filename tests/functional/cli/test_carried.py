"""An export builds on a machine that has no network, no gpuenv and nothing of the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from support.cli import Person
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

PYPROJECT = f'[project]\nname = "x"\nversion = "0"\nrequires-python = ">={PYTHON}"\ndependencies = ["six"]\n'


def test_what_is_carried_is_complete(tmp_path: Path) -> None:
    with IndexServer() as index:
        index.add(torch_wheel("2.10.0", "cpu", tag=TAG), folder="cpu")
        index.add_package(build_wheel("six", "1.0"))
        person = Person.at(
            tmp_path, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON
        )
        person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
        person.write("pyproject.toml", PYPROJECT)
        person.write("evidence/team/README.md", "proved")
        assert person.run("lock", "--profile", "team", "--keep").code == 0
        run = person.run("store", "export", "usb", "--profile", "team")
        assert run.code == 0, run.err
        person.write(
            "pyproject.toml", PYPROJECT + '[[tool.uv.index]]\nurl = "https://me:hush-hush@example.org/simple"\n'
        )
        careful = person.run("store", "export", "other", "--profile", "team", "--no-project")
        assert careful.code == 0, careful.err
        careful = person.run("store", "export", "other", "--profile", "team")
        assert "pyproject.toml holds a password in an address: it is not in the export" in careful.err
        assert not (person.project / "other/pyproject.toml").exists()
    there = tmp_path / "another machine"
    shutil.move(person.project / "usb", there)
    shutil.rmtree(person.project)
    assert not [path for path in there.rglob("*.t*") if str(tmp_path) in path.read_text(errors="replace")]
    assert (there / "evidence/team/README.md").read_text() == "proved"

    home = tmp_path / "another home"
    home.mkdir()
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "PIP_CONFIG_FILE": os.devnull}
    steps = [
        line.strip()
        for line in (there / "README.md").read_text().split("in `tool`:")[1].splitlines()
        if "tool/" in line
    ]
    assert len(steps) == 3
    for step in steps:
        words = step.replace("python3 ", f"{sys.executable} ", 1) + (" --no-verify" if "create" in step else "")
        done = subprocess.run(
            ["bash", "-c", words], cwd=there, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    (site,) = (there / ".venv-gpu").glob("lib/python*/site-packages")
    assert {each.name for each in site.glob("*.dist-info")} == {"torch-2.10.0+cpu.dist-info", "six-1.0.dist-info"}
