"""A committed lock of another platform: this machine gets a lock of its own, and the committed one stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, Run, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

PROFILE = 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n'
COMMITTED, OWN = "lockfiles/pylock.team.toml", "lockfiles/pylock.team-linux-x86-64-cpu.toml"
PYTHON_TAG = TAG.rpartition("-")[0]
OTHERS = {
    "windows": ("windows", "x86_64", "win_amd64"),
    "macos": ("macos", "arm64", "macosx_11_0_arm64"),
    "aarch64": ("linux", "aarch64", "manylinux_2_28_aarch64"),
}


@pytest.fixture(scope="module")
def server() -> Iterator[IndexServer]:
    with IndexServer() as made:
        for tag in (TAG, *(f"{PYTHON_TAG}-{each[2]}" for each in OTHERS.values())):
            made.add(torch_wheel("2.10.0", None if "macosx" in tag else "cpu", tag=tag), folder="cpu")
        made.add_package(build_wheel("six", "1.17.0"))
        yield made


@pytest.fixture
def person(tmp_path: Path, server: IndexServer) -> Person:
    return Person.at(tmp_path, GPUENV_PROFILE="team", GPUENV_TORCH_INDEX=server.torch_index,
                     GPUENV_INDEX=server.default_index, GPUENV_PYTHON=PYTHON)  # fmt: skip


def commit(person: Person, other: str = "aarch64", *words: str) -> str:
    """Lock on the other platform, and bring the project here; the text of that lock."""
    os, arch, _ = OTHERS[other]
    person.write("profiles/team.toml", PROFILE)
    person.write("there.json", machine_json(driver=None, os=os, arch=arch))
    ran(person.run("lock", "--machine", "there.json", *words))
    return (person.project / COMMITTED).read_text()


def ran(run: Run) -> Run:
    assert run.code == 0, run.err
    return run


@pytest.mark.parametrize("other", OTHERS)
def test_create_makes_a_lock_beside_it_and_the_next_one_uses_that(person: Person, other: str) -> None:
    committed = commit(person, other)

    first = ran(person.run("create", "--no-verify"))
    assert f"it stays as it is, this machine's is {OWN}" in first.err
    assert f"Wrote lockfile {OWN}" in first.err
    second = ran(person.run("create", "--no-verify"))
    assert f"Using lockfile {OWN}" in second.err
    assert "up to date" in second.out + second.err
    assert (person.project / COMMITTED).read_text() == committed
    ran(person.run("doctor", ".venv-gpu"))
    ran(person.run("diff", "lock", ".venv-gpu"))
    there = ran(person.run("create", "--no-verify", "--dry-run", "--machine", "there.json"))
    assert f"Using lockfile {COMMITTED}" in there.err, "where it was made it serves as before"


def test_lock_writes_and_checks_the_machines_own(person: Person) -> None:
    committed = commit(person)

    for words in (("--dry-run",), (), ("--check",), ("--upgrade",)):
        ran(person.run("lock", *words))
        assert (person.project / OWN).is_file() == (words != ("--dry-run",))
    ran(person.run("lock", "--check", "--machine", "there.json"))
    assert (person.project / COMMITTED).read_text() == committed


def test_what_was_asked_for_there_is_asked_for_here(person: Person) -> None:
    commit(person, "aarch64", "--with", "six")

    run = ran(person.run("create", "--no-verify"))
    assert "As the lock was made: --with six" in run.err
    assert 'name = "six"' in (person.project / OWN).read_text()


def test_a_broken_lock_of_this_machine_is_made_again_in_its_own_place(person: Person) -> None:
    committed = commit(person)
    person.write(OWN, "broken = [")

    refused = person.run("create", "--no-verify")
    assert refused.code in (2, 5)
    assert "`gpuenv lock --profile team --upgrade`" in refused.err
    ran(person.run("lock", "--upgrade"))
    ran(person.run("create", "--no-verify"))
    assert (person.project / COMMITTED).read_text() == committed


def test_add_that_fails_leaves_both_locks_as_they_were(person: Person) -> None:
    committed = commit(person)
    ran(person.run("lock"))
    before = (person.project / OWN).read_text()
    person.write("pyproject.toml", '[project]\nname = "p"\nversion = "0"\ndependencies = []\n')

    assert person.run("add", "nowhere-to-be-found").code != 0
    assert ((person.project / COMMITTED).read_text(), (person.project / OWN).read_text()) == (committed, before)
    ran(person.run("add", "six", "--no-verify"))
    assert 'name = "six"' in (person.project / OWN).read_text()
    ran(person.run("remove", "six", "--no-verify"))
    assert (person.project / COMMITTED).read_text() == committed


def test_hashed_requirements_that_are_named_become_the_machines_own(person: Person) -> None:
    committed = commit(person)
    ran(person.run("lock", "--format", "hashed"))
    (person.project / OWN).unlink()

    ran(person.run("create", "--no-verify", "--lock", "lockfiles/hashed.team-linux-x86-64-cpu.txt"))
    assert (person.project / OWN).is_file()
    assert (person.project / COMMITTED).read_text() == committed


def test_a_lock_for_other_gpus_can_be_kept_by_the_second_hint(person: Person, server: IndexServer) -> None:
    server.add(torch_wheel("2.10.0", "cu128", tag=TAG), folder="cu128")
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "auto"\npackages = ["torch"]\n')
    person.write("there.json", machine_json("9.0", driver="580.95.05"))
    ran(person.run("lock", "--machine", "there.json"))
    committed = (person.project / COMMITTED).read_text()

    refused = person.run("create", "--no-verify")
    assert refused.code == 3, refused.err
    (hint,) = [line for line in refused.err.splitlines() if "keep that one" in line]
    first, second = hint.split("`")[1::2]
    assert first == "gpuenv detect --json > machine.json"
    person.write("machine.json", ran(person.run(*first.split()[1:3])).out)
    ran(person.run(*second.split()[1:]))
    done = ran(person.run("create", "--no-verify"))
    assert f"Using lockfile {OWN}" in done.err
    assert (person.project / COMMITTED).read_text() == committed
