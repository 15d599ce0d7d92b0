"""A proof that fails leaves what was seen, the old environment, and next steps that can be done."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, Run
from support.index_server import IndexServer
from support.wheels import build_wheel, torch_wheel

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
CP = f"cp{PYTHON.replace('.', '')}"


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    """An index whose torch is a name and nothing more: it can be installed, and cannot prove itself."""
    with IndexServer() as server:
        wheel = torch_wheel("2.10.0", "cpu", tag=f"{CP}-{CP}-manylinux_2_28_x86_64", requires=["filelock"])
        server.add(wheel, folder="cpu")
        server.add_package(build_wheel("filelock", "3.0"))
        yield server


@pytest.fixture
def person(tmp_path: Path, index: IndexServer) -> Person:
    """A project; the sources are set as variables, so that hints are typed as they are printed."""
    sources = {"GPUENV_TORCH_INDEX": index.torch_index, "GPUENV_INDEX": index.default_index, "GPUENV_PYTHON": PYTHON}
    return Person.at(tmp_path, **sources)


def commands(run: Run) -> list[str]:
    """What stands in backticks in the hints."""
    return [
        found for line in run.err.splitlines() if line.startswith("hint:") for found in re.findall(r"`(.+?)`", line)
    ]


def test_a_failed_proof_leaves_report_evidence_and_steps_that_can_be_done(person: Person) -> None:
    assert person.run("create", "--profile", "cpu", "--no-verify").code == 0
    old = (person.project / ".venv-gpu" / "gpuenv.json").read_bytes()
    failed = person.run("create", "--profile", "cpu")
    assert failed.code == 1
    assert ".venv-gpu was left as it was" in failed.err
    assert (person.project / ".venv-gpu" / "gpuenv.json").read_bytes() == old
    evidence = json.loads((person.project / "evidence" / "cpu.failed" / "evidence.json").read_text("utf-8"))
    assert evidence["verdict"] == "failed"
    assert evidence["about"]["command"] == "gpuenv create --keep-failed --profile cpu"
    assert "FAILED" in (person.project / "evidence" / "cpu.failed" / "README.md").read_text("utf-8")
    assert not (person.project / "evidence" / "cpu").exists()  # that of the environment before would stand there
    typed = commands(failed)
    assert "cat evidence/cpu.failed/README.md" in typed
    assert "gpuenv create --keep-failed --profile cpu" in typed
    assert "gpuenv create --no-verify --profile cpu" in typed
    assert "gpuenv create --profile cpu" not in typed  # what was just done
    assert not any("--upgrade" in command for command in typed)
    for command in typed:
        if command.startswith("gpuenv ") and "create" not in command:
            assert person.run(*shlex.split(command)[1:]).code in (0, 1), command


def test_a_failed_environment_is_kept_for_a_look_on_demand(person: Person) -> None:
    kept = person.project / ".venv-gpu.failed"
    failed = person.run("create", "--profile", "cpu", "--keep-failed")
    assert (failed.code, kept.is_dir(), (person.project / ".venv-gpu").exists()) == (1, True, False)
    typed = commands(failed)
    assert "gpuenv doctor .venv-gpu.failed" in typed
    assert "rm -rf .venv-gpu.failed" in typed
    assert not any("--keep-failed" in command for command in typed)
    assert f"file://{kept}" in (kept / "pip.conf").read_text("utf-8")
    assert person.run("doctor", ".venv-gpu.failed").code in (0, 1)
    again = person.run("verify", ".venv-gpu.failed")
    assert again.code == 1
    assert any(command.endswith(" .venv-gpu.failed") for command in commands(again))  # the environment that was named
    # A second failure takes its place; a build without a proof removes nothing.
    assert person.run("create", "--profile", "cpu", "--keep-failed").code == 1
    assert person.run("create", "--profile", "cpu", "--no-verify").code == 0
    assert kept.is_dir()


def test_what_is_no_failed_environment_is_never_replaced(person: Person) -> None:
    other = person.project / ".venv-gpu.failed"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    run = person.run("create", "--profile", "cpu", "--keep-failed")
    assert run.code == 2
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    (other / "thesis.tex").unlink()
    other.rmdir()
    assert person.run("create", "--profile", "cpu", "--no-verify", ".venv-gpu.failed").code == 0
    run = person.run("create", "--profile", "cpu", "--keep-failed")  # somebody's environment of that name
    assert (run.code, (other / "gpuenv-failed.txt").exists()) == (2, False)


def test_keeping_a_failure_needs_a_proof(person: Person) -> None:
    assert person.run("create", "--no-verify", "--keep-failed").code == 2
