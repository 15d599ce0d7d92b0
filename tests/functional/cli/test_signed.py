"""Sources whose links are signed for a short time: a lock holds no signature, and every later build finds a new one."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person
from support.helper_project import helper_index, helper_person
from support.index_server import IndexServer
from support.nights import TAG
from support.wheels import torch_wheel


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with helper_index() as running:
        running.sign()
        yield running


@pytest.fixture
def person(tmp_path: Path, server: IndexServer) -> Person:
    return helper_person(tmp_path, server)


def elsewhere(person: Person) -> None:
    """The lock comes to a machine that has nothing of it."""
    shutil.rmtree(person.home)
    person.home.mkdir()


def test_a_lock_of_signed_addresses_builds_later_and_elsewhere(person: Person, server: IndexServer) -> None:
    locked = person.run("lock")
    assert locked.code == 0, locked.err
    text = (person.project / "lockfiles/pylock.team.toml").read_text()
    assert text.count("signed = true") == 2
    elsewhere(person)
    server.sign()

    run = person.run("create", "--no-verify", "-v")
    assert run.code == 0, run.err
    assert "2 wheels with signed addresses" in run.err
    files = (path for folder in (person.home, person.project) for path in folder.rglob("*"))
    seen = b"".join(path.read_bytes() for path in files if path.is_file())
    assert b"signature-" not in seen + run.err.encode() + run.out.encode()
    server.log.clear()
    assert person.run("create", "--no-verify", "--offline").code == 0
    assert server.log == []


def test_a_signed_file_that_became_another_is_refused(person: Person, server: IndexServer) -> None:
    assert person.run("lock").code == 0
    elsewhere(person)
    other = torch_wheel("2.10.0", "cpu", tag=TAG, requires=["helper"], files={"torch/_other.py": "X = 1\n"})
    server.add(other, folder="cpu", hashed=False)
    run = person.run("create", "--no-verify")
    assert run.code == 5, run.err
    assert not (person.project / ".venv-gpu").exists()


def test_what_cannot_be_asked_again_is_said_with_what_can_be_done(person: Person, server: IndexServer) -> None:
    assert person.run("lock").code == 0
    elsewhere(person)
    offline = person.run("create", "--no-verify", "--offline")
    assert (offline.code, "their index can give new ones" in offline.err) == (4, True), offline.err

    server.clear()
    newer = torch_wheel("2.11.0", "cpu", tag=TAG, requires=["helper"])
    server.add(newer, folder="cpu", hashed=False)
    refused = person.run("create", "--no-verify")
    assert refused.code == 4
    assert "does not list torch-2.10.0" in refused.err
    hint = refused.err.split("hint:")[-1].split("`")[1]
    assert person.run(*shlex.split(hint)[1:]).code == 0
    run = person.run("create", "--no-verify")
    assert run.code == 0, run.err


def test_kept_wheels_need_no_signature(person: Person, server: IndexServer) -> None:
    assert person.run("lock").code == 0
    elsewhere(person)
    assert person.run("lock", "--keep").code == 0
    server.clear()
    assert person.run("create", "--no-verify").code == 0
