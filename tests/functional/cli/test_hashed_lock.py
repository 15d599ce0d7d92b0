"""A lock of hashed requirements: committed without an address, placed where it is used, the same set hash for hash."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import BuiltWheel, build_wheel, torch_wheel

WHEELS = (
    torch_wheel("2.14.1", "cu130", tag=TAG, local=False, requires=["filelock", "triton==3.8.0"]),
    build_wheel("triton", "3.8.0", tag=TAG),
    build_wheel("filelock", "4.3"),
    build_wheel("einops", "0.8.1"),
)
HASHED, PYLOCK = "lockfiles/hashed.team.txt", "lockfiles/pylock.team.toml"
WORDS = ("--machine", "machine.json", "--python", PYTHON)
PROFILE = 'description = "t"\npackages = ["torch", "einops"]\n'


def serving(*wheels: BuiltWheel) -> IndexServer:
    server = IndexServer()
    for wheel in wheels:
        server.add_package(wheel)
    return server


@pytest.fixture
def committed(tmp_path: Path) -> Person:
    """Somebody with a lock that was made at an index which is gone."""
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0", driver="580.95.05"))
    person.write("profiles/team.toml", PROFILE)
    with serving(*WHEELS) as elsewhere:
        words = ("lock", "--profile", "team", "--format", "hashed", "--index", elsewhere.default_index)
        made = person.run(*words, *WORDS)
        assert made.code == 0, made.err
    (person.project / PYLOCK).unlink()
    return person


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with serving(*WHEELS, build_wheel("einops", "0.9"), build_wheel("filelock", "4.4")) as server:
        yield server


def locked(person: Person) -> dict[str, tuple[str, str]]:
    rows = tomllib.loads((person.project / PYLOCK).read_text(encoding="utf-8"))["packages"]
    return {row["name"]: (row["version"], row["wheels"][0]["hashes"]["sha256"]) for row in rows}


def test_the_same_set_is_installed_hash_for_hash(committed: Person, index: IndexServer) -> None:
    text = (committed.project / HASHED).read_text(encoding="utf-8")
    assert "://" not in text
    assert "127.0.0.1" not in text
    stated = {
        name: (version, sha256)
        for name, version, sha256 in re.findall(
            r"^([a-z]+)==(\S+) ;[^\n]*\\\n +--hash=sha256:(\w+)$", text, re.MULTILINE
        )
    }
    assert len(stated) == len(WHEELS)

    built = committed.run("create", "--lock", HASHED, "--no-verify", "--index", index.default_index, *WORDS)
    assert built.code == 0, built.err
    assert f"Using {HASHED}: torch 2.14.1 for Python {PYTHON}" in built.err
    assert locked(committed) == stated
    assert f'url = "{index.default_index.removesuffix("/simple")}' in (committed.project / PYLOCK).read_text("utf-8")
    place = committed.project / ".venv-gpu"
    assert {name: version for name, (version, _) in stated.items()} == versions(place)

    # What is there is what the lock says: nothing is asked again, and check and diff read both forms.
    seen = len(index.log)
    again = committed.run("create", "--lock", HASHED, "--no-verify", "--index", index.default_index, *WORDS)
    assert "up to date" in again.out, again.err
    assert len(index.log) == seen
    assert committed.run("diff", HASHED, PYLOCK).code == 0
    checked = committed.run("check", HASHED, "--machine", "machine.json")
    assert checked.code == 0, checked.err
    assert "native sm_120" in checked.out

    # uv alone installs the same from it.
    other = committed.project / "other"
    for words in (
        ("venv", "--python", PYTHON, str(other)),
        ("pip", "install", "--no-deps", "--require-hashes", "-r", HASHED),
    ):
        uv = [str(find_uv(committed.world()).path), *words, "--no-config"]
        world = committed.world(UV_DEFAULT_INDEX=index.default_index, VIRTUAL_ENV=str(other))
        subprocess.run(uv, cwd=committed.project, env=world, check=True, capture_output=True)
    assert versions(other) == versions(place)


def versions(environment: Path) -> dict[str, str]:
    found = environment.rglob("*.dist-info")
    return dict(path.name.removesuffix(".dist-info").split("-", 1) for path in found)


def test_it_is_found_by_its_profile(committed: Person, index: IndexServer) -> None:
    planned = committed.run(
        "create", "--profile", "team", "--no-verify", "--dry-run", "--index", index.default_index, *WORDS
    )
    assert f"Would use {HASHED}: {len(WHEELS)} packages" in planned.out, planned.err
    assert not (committed.project / PYLOCK).exists()

    newer = committed.run("lock", "--profile", "team", "--index", index.default_index, *WORDS)
    assert newer.code == 0, newer.err
    kept = committed.run(
        "create", "--profile", "team", "--no-verify", "--dry-run", "--index", index.default_index, *WORDS
    )
    assert f"Would use {PYLOCK}" in kept.out
    assert f"{HASHED} locks another set (torch 2.14.1, 2 packages differ): `gpuenv create --lock {HASHED}`" in kept.err


def test_another_machine_is_refused_what_was_named_and_not_given_what_was_found(
    committed: Person, index: IndexServer
) -> None:
    committed.write("old.json", machine_json("12.0", driver="570.124.06"))
    words = ("create", "--no-verify", "--machine", "old.json", "--python", PYTHON, "--index", index.default_index)
    named = committed.run(*words, "--lock", HASHED)
    assert named.code == 3
    assert f"error: {HASHED} cu130 needs driver 580" in named.err
    found = committed.run(*words, "--profile", "team")
    assert f"{HASHED} cu130 needs driver 580" in found.err
    assert "it is not used" in found.err


def test_a_file_that_is_another_now_is_an_integrity_error(committed: Person) -> None:
    changed = build_wheel("filelock", "4.3", files={"filelock/more.py": "more = 1\n"})
    wheels = [wheel for wheel in WHEELS if not wheel.filename.startswith("filelock")]
    words = ("create", "--lock", HASHED, "--no-verify", *WORDS)
    with serving(*wheels, changed) as index:
        run = committed.run(*words, "--index", index.default_index)
        assert run.code == 5
        assert "filelock-4.3-py3-none-any.whl is not the file that was locked" in run.err
    with serving(*wheels) as index:
        run = committed.run(*words, "--index", index.default_index)
        assert run.code == 4
        assert "no source lists filelock-4.3-py3-none-any.whl" in run.err
    assert not (committed.project / PYLOCK).exists()


def test_a_changed_profile_is_not_passed_over(committed: Person, index: IndexServer) -> None:
    committed.write("profiles/team.toml", PROFILE.replace('"einops"', '"einops>=0.9"'))
    words = ("create", "--no-verify", "--dry-run", "--index", index.default_index, *WORDS)
    named = committed.run(*words, "--lock", HASHED)
    assert named.code == 2
    assert f"{HASHED} was made for something else than is asked for now" in named.err
    found = committed.run(*words, "--profile", "team")
    assert f"Would write {PYLOCK}" in found.out, found.err


def test_a_torch_of_the_package_index_is_locked_from_that_single_source(committed: Person, index: IndexServer) -> None:
    words = ("lock", "--profile", "team", "--single-source", "--index", index.default_index)
    run = committed.run(*words, *WORDS)

    assert run.code == 0, run.err
    assert {name: version for name, (version, _) in locked(committed).items()} == {
        "einops": "0.9", "filelock": "4.4", "torch": "2.14.1", "triton": "3.8.0",
    }  # fmt: skip
    again = committed.run("lock", "--profile", "team", "--check", "--index", index.default_index, *WORDS)
    assert again.code == 0, again.err


def test_requirements_for_pip_are_no_lock_and_the_hint_writes_one(committed: Person, index: IndexServer) -> None:
    where = ("--profile", "team", "--index", index.default_index, *WORDS)
    assert committed.run("lock", "--format", "requirements", *where).code == 0
    refused = committed.run("create", "--lock", "lockfiles/requirements.team.txt", "--no-verify", "--dry-run", *where)
    assert refused.code == 2
    hint = re.search(r"hint: Requirements hold no decision; write a set that does: `gpuenv ([^`]+)`", refused.err)
    assert hint, refused.err
    (committed.project / HASHED).unlink()
    assert committed.run(*hint[1].split(), *where).code == 0
    assert committed.run("create", "--lock", HASHED, "--no-verify", "--dry-run", *where).code == 0
