"""`gpuenv cache`: what is kept is told apart, and cleaning takes nothing that a lock or a running gpuenv needs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.cli import Person, command
from support.helper_project import helper_index, helper_person
from support.index_server import Fault, IndexServer
from support.nights import TAG
from support.wheels import build_wheel, torch_wheel

LONG_AGO = (1_000_000_000, 1_000_000_000)


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with helper_index(hashed=True) as server:
        yield server


@pytest.fixture
def person(tmp_path: Path, index: IndexServer) -> Person:
    (tmp_path / "temp").mkdir()
    return helper_person(tmp_path, index, TMPDIR=str(tmp_path / "temp"))


def state(person: Person) -> Path:
    return person.home / ".local/state/gpuenv"


def kept(person: Person) -> dict[str, int]:
    run = person.run("cache", "size", "--json")
    assert run.code == 0, run.err
    return {part: row["files"] for part, row in run.json["data"]["kept"].items()}


def test_what_is_kept_is_told_apart_and_comes_again(person: Person, index: IndexServer) -> None:
    assert set(kept(person).values()) == {0}
    assert person.run("lock", "--keep").code == 0
    assert person.run("create", "--no-verify").code == 0
    there = kept(person)
    assert there == {"pages": there["pages"], "facts": there["facts"], "records": 2, "store": 2}
    assert min(there.values()) > 0
    shown = person.run("cache", "dir").out
    assert str(state(person) / "store") in shown
    listed = person.run("store", "list", "--json").json["data"]
    sizes = person.run("cache", "--json").json["data"]["kept"]["store"]
    assert (sizes["files"], sizes["bytes"]) == (2, sum(row["size"] for row in listed["wheels"]))

    planned = person.run("cache", "clean", "--dry-run", "--json").json["data"]["removed"]
    assert kept(person) == there
    done = person.run("cache", "clean", "--json").json["data"]["removed"]
    assert done == planned
    # A lock keeps its wheels, and what vouches for uv's cache goes only where it is named.
    assert kept(person) == {"pages": 0, "facts": 0, "records": 2, "store": 2}
    assert [path for path in (person.home / ".cache/gpuenv").rglob("*") if path.is_file()] == []
    assert person.run("cache", "clean", "records").code == 0
    assert kept(person)["records"] == 0
    assert person.run("lock", "--upgrade").code == 0
    assert kept(person)["pages"] == there["pages"]


def test_wheels_of_registered_locks_stay_and_others_go(person: Person) -> None:
    assert person.run("lock", "--keep").code == 0
    other = replace(person, project=person.project.parent / "other")
    other.project.mkdir()
    assert other.run("cache", "clean").code == 0
    assert kept(person)["store"] == 2

    lock = person.project / "lockfiles/pylock.team.toml"
    text = lock.read_text()
    lock.unlink()
    unsure = other.run("cache", "clean", "store", "--json").json["data"]
    assert [row["state"] for row in unsure["unsure"]] == ["gone"]
    assert kept(person)["store"] == 2
    assert other.run("store", "prune", "--forget").code == 0
    assert kept(person)["store"] == 0
    lock.write_text(text)
    unknown = state(person) / "store/sha256/ab" / ("ab" * 32) / "old-1-py3-none-any.whl"
    unknown.parent.mkdir(parents=True)
    unknown.write_bytes(b"")
    os.utime(unknown, LONG_AGO)
    assert person.run("cache", "clean", "store").code == 0
    assert not unknown.exists()


def test_a_lock_that_cannot_be_read_stops_before_anything_goes(person: Person) -> None:
    assert person.run("lock", "--keep").code == 0
    before = kept(person)
    person.write("lockfiles/pylock.broken.toml", "[")
    assert person.run("cache", "clean").code == 2
    assert kept(person) == before


def test_leftovers_are_said_and_swept(person: Person) -> None:
    """Each as a killed run leaves it; those that may be in use, or are somebody's own, stay."""
    temp, project, store = Path(person.environ["TMPDIR"]), person.project, state(person) / "store"
    digest = "ab" * 32
    gone = [
        temp / "gpuenv-dependencies-x",
        store / "sha256/ab" / digest / ".0123456789abcdef.part",
        store / "partial" / "broken",
        project / "lockfiles/.pylock.team.toml.0123456789abcdef",
        person.home / ".cache/gpuenv/http/ab" / f".{digest}.0123456789abcdef",
        project / ".gpuenv-stage-0123-999999-0",
        project / "evidence/team.failed",
    ]
    stay = [
        temp / "gpuenv-notes",
        store / "partial" / "young",
        project / "lockfiles/.pylock.team.toml.0123456789abcde0",
        project / "lockfiles/.notes.txt",
        project / "evidence/other.failed",
        project / "evidence/team",
        person.home / ".cache/gpuenv/http/notes.txt",
    ]
    for path in (*gone, *stay):
        if (path.suffix in ("", ".failed") and path.name[0] != ".") or "stage" in path.name:
            path.mkdir(parents=True, mode=0o755 if path.name == "gpuenv-notes" else 0o700)
            (path / "body").touch()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        if path.name not in ("young", ".pylock.team.toml.0123456789abcde0"):
            for each in (*path.glob("*"), path):
                os.utime(each, LONG_AGO)
    evidence = {"team": ("passed", "2026-02-02"), "team.failed": ("failed", "2026-01-01"),
                "other.failed": ("failed", "2026-01-01")}  # fmt: skip
    for name, (verdict, moment) in evidence.items():
        text = json.dumps({"verdict": verdict, "about": {"created": f"{moment}T00:00:00Z"}})
        (project / "evidence" / name / "body").unlink()
        (project / "evidence" / name / "evidence.json").write_text(text)

    said = person.run("cache", "size", "--json").json["data"]["leftovers"]
    assert {row["path"] for row in said} == {str(path) for path in gone}
    run = person.run("cache", "clean")
    assert run.code == 0, run.err
    assert [path for path in gone if os.path.lexists(path)] == []
    assert [path for path in stay if not os.path.lexists(path)] == []
    assert all(f" - {path}: " in run.out for path in gone)


def test_the_users_own_files_in_the_evidence_stay(person: Person) -> None:
    for name, verdict, year in (("team", "passed", 2026), ("team.failed", "failed", 2025)):
        text = json.dumps({"verdict": verdict, "about": {"created": f"{year}-01-01T00:00:00Z"}})
        person.write(f"evidence/{name}/evidence.json", text)
    person.write("evidence/team.failed/my-notes.md", "why it failed")
    assert person.run("cache", "clean", "leftovers").code == 0
    assert person.files() >= {"evidence/team.failed/my-notes.md", "evidence/team/evidence.json"}
    assert "evidence/team.failed/evidence.json" not in person.files()


def test_a_running_gpuenv_keeps_what_it_uses(person: Person, index: IndexServer) -> None:
    """A first lock, whose torch has come into the store while no lock names it yet: it stays."""
    index.add(torch_wheel("2.11.0", "cpu", tag=TAG, requires=["helper", "triton"]), folder="cpu", hashed=False)
    triton = build_wheel("triton", "3.0", files={"triton/__init__.py": "X = 1\n"})
    index.add(triton, folder="cpu", hashed=False)
    index.fault(f"/whl/cpu/{triton.filename}", Fault(stall=600))
    index.fault(f"/whl/cpu/{triton.filename}", Fault(times=1))  # its metadata comes at once
    process = subprocess.Popen(
        command("lock", "--keep"), cwd=person.project, env=person.world(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not index.requests(f"/whl/cpu/{triton.filename}") or not list(state(person).glob("store/sha256/*/*/*")):
            assert process.poll() is None
            time.sleep(0.05)
        assert person.run("cache", "clean").code == 0
        assert kept(person)["store"] == 1
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
