"""`create` with nothing changed builds nothing, trains nothing, asks nobody; with anything changed it says what."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gpuenv import __version__
from gpuenv.environment.uv import find_uv
from gpuenv.machine.detect import detect
from gpuenv.model.profile import VerificationPlan
from gpuenv.verify import evidence
from support.cli import Person, Run
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.verify_observed import observed, report_of
from support.wheels import build_wheel, torch_wheel

LATER = "2099-01-01T00:00:00Z"


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        server.add(torch_wheel("2.11.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        server.add_package(build_wheel("filelock", "3.0", files={"filelock/__init__.py": "A = 1\n"}))
        yield server


@pytest.fixture
def person(tmp_path: Path, index: IndexServer) -> Person:
    """Somebody with an environment, whose uv writes down what it is asked."""
    person = Person.at(
        tmp_path, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON,
        GPUENV_PROFILE="team", GPUENV_UV=str(tmp_path / "uv"),
    )  # fmt: skip
    (tmp_path / "uv").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\nexec {find_uv(os.environ).path} "$@"\n')
    (tmp_path / "uv").chmod(0o755)
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
    assert person.run("create", "--no-verify").code == 0
    (tmp_path / "told").write_text("")
    index.log.clear()
    return person


def nothing_was_asked(person: Person, index: IndexServer) -> bool:
    return person.home.with_name("told").read_text() == "" and not index.log


def marker(person: Person) -> bytes:
    return (person.project / ".venv-gpu/gpuenv.json").read_bytes()


def prove(person: Person, **changes: Any) -> Path:  # Any: what the evidence says
    """Write evidence as a proof that passed leaves it: these wheels have no torch that could."""
    lock = person.project / "lockfiles/pylock.team.toml"
    about = evidence.About(
        created=LATER, gpuenv=__version__, command="gpuenv verify", environment=".venv-gpu", profile="team",
        lock_sha256=hashlib.sha256(lock.read_bytes()).hexdigest(), plan=VerificationPlan(),
    )  # fmt: skip
    report = replace(report_of(observed()), accelerator="cpu")
    folder = person.project / "evidence/team"
    machine = detect(environ=person.world()).machine
    evidence.write(folder, report=report, machine=machine, about=replace(about, **changes), smi_text="")
    return folder


def test_nothing_changed_is_said_and_the_proof_reused(person: Person, index: IndexServer) -> None:
    built = marker(person)
    plain = person.run("create", "--no-verify", "--json")
    assert (plain.code, plain.json["data"]["up_to_date"], plain.json["data"]["evidence"]) == (0, True, None)
    prove(person)
    run = person.run("create")
    assert run.code == 0, run.err
    assert run.out.splitlines()[:3] == [
        f"up to date: proved on {LATER}; `gpuenv create --verify` asks again",
        f"{person.project}/.venv-gpu: torch 2.11.0+cpu (CPU build), Python {data(run, person)['python']}",
        "evidence: evidence/team",
    ]
    lock = person.project / "lockfiles/pylock.team.toml"  # as git checks it out on Windows
    lock.write_bytes(lock.read_bytes().replace(b"\n", b"\r\n"))
    assert person.run("create").code == 0
    assert "Found up-to-date lockfile" in person.run("lock").err
    assert b"\r\n" in lock.read_bytes()
    assert nothing_was_asked(person, index)
    assert marker(person) == built


def data(run: Run, person: Person) -> Any:  # Any: JSON
    return json.loads(marker(person))


def test_what_changed_is_built_again_and_said(person: Person, index: IndexServer) -> None:
    site = next((person.project / ".venv-gpu").glob("lib/python*/site-packages"))
    (site / "filelock/__init__.py").unlink()
    run = person.run("create", "--no-verify")
    assert (run.code, (site / "filelock/__init__.py").read_text()) == (0, "A = 1\n"), run.err
    assert ".venv-gpu is built again: filelock: " in run.err
    (person.project / ".venv-gpu/gpuenv-constraints.txt").write_text("torch==1\n")
    run = person.run("create", "--no-verify")
    assert ".venv-gpu is built again: the files that hold its family are not as they were written" in run.err
    run = person.run("create", "--no-verify", "--torch", "==2.10.0")
    assert "lockfiles/pylock.team.toml has changed since, torch 2.11.0+cpu → 2.10.0+cpu" in run.err
    assert person.run("create", "--no-verify", "--json").json["data"]["up_to_date"]
    before = marker(person)
    assert not person.run("create", "--no-verify", "--rebuild", "--json").json["data"]["up_to_date"]
    assert json.loads(before)["lock"] == json.loads(marker(person))["lock"]


def test_a_proof_that_holds_no_more_is_asked_again_of_what_stands(person: Person, index: IndexServer) -> None:
    """This torch cannot prove itself: first what stands is asked, then it is built again, and neither is kept."""
    built = marker(person)
    prove(person, gpuenv="0.0.1")
    planned = person.run("create", "--dry-run")
    assert "is up to date: nothing would be built" in planned.out
    run = person.run("create")
    assert run.code == 1
    said = f".venv-gpu is as it was built, and is proved again: gpuenv changed 0.0.1 → {__version__}\n"
    assert said in run.err
    assert ".venv-gpu did not prove itself: building it again" in run.err
    assert run.err.count("The locked torch is of ") == 1, run.err
    assert ".venv-gpu was left as it was" in run.err
    assert marker(person) == built
    prove(person, created="2026-01-01T00:00:00Z")
    assert "proved again: its last proof failed\n" in person.run("create").err
