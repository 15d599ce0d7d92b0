"""A lock of 3 January 2026, looked at on 10 March: the recorded index of both days, wheels that can be installed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, add_dependencies, where

pytestmark = pytest.mark.xdist_group("recorded-index")

OLD = {
    "torch": "2.11.0.dev20260102+cu128",
    "torchaudio": "2.10.0.dev20260102+cu128",
    "torchvision": "0.25.0.dev20260102+cu128",
}
NEW = {
    "torch": "2.12.0.dev20260309+cu128",
    "torchaudio": "2.11.0.dev20260309+cu128",
    "torchvision": "0.26.0.dev20260309+cu128",
}
BLACKWELL = ("--machine", "machine.json", "--python", PYTHON, "--channel", "nightly")


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with IndexServer(real_hashes=False) as server:
        add_dependencies(server)
        server.serve_day("2026-01-03", variants=["cu128"])
        yield server


@pytest.fixture
def person(tmp_path: Path, index: IndexServer) -> Person:
    """They locked on the third of January, and kept the wheels in a folder that others may share."""
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0"))
    run = person.run("lock", "--keep", "--store", "../shared", *where(index, "blackwell"), *BLACKWELL)
    assert run.code == 0, run.err
    assert "Kept 12 wheels in the store" in run.err
    return person


def packages(person: Person) -> dict[str, str]:
    """Name and version of what stands in the environment."""
    folders = person.project.glob(".venv-gpu/lib/python*/site-packages/*.dist-info")
    names = [folder.name.removesuffix(".dist-info").partition("-") for folder in folders]
    return {name: version for name, _, version in names}


def test_the_vanished_wheels_and_what_replaces_them_are_named(person: Person, index: IndexServer) -> None:
    index.hide()
    index.serve_day("2026-03-10", variants=["cu128"])
    run = person.run("lock", "--check", "--refresh", "--json", *where(index, "blackwell"), *BLACKWELL)
    assert run.code == 1
    (row,) = run.json["data"]["locks"]
    hidden = {reason["package"]: reason["sentence"] for reason in row["reasons"] if reason["kind"] == "hidden"}
    assert hidden == {
        name: f"{name} {version} is hidden from the index; its link still answers, without any promise"
        for name, version in OLD.items()
    }
    moved = {change["name"]: (change["before"], change["after"]) for change in row["changes"]}
    assert moved == {name: (OLD[name], NEW[name]) for name in OLD}
    assert "torch 2.11.0.dev20260102+cu128 -> 2.12.0.dev20260309+cu128" in run.json["errors"][0]["causes"][-1]

    index.clear()
    index.serve_day("2026-03-10", variants=["cu128"])
    later = person.run("lock", "--check", "--refresh", "--json", *where(index, "blackwell"), *BLACKWELL)
    kinds = {reason["package"]: reason["kind"] for reason in later.json["data"]["locks"][0]["reasons"]}
    assert kinds == {**dict.fromkeys(OLD, "gone"), "": "outdated"}


def test_the_store_still_builds_it_with_the_network_cut(person: Person, index: IndexServer) -> None:
    words = ("create", "--no-verify", *where(index, "blackwell"), *BLACKWELL)
    index.stop()
    assert person.run(*words, "--store", "../elsewhere", "--cache-dir", "../cold", UV_CACHE_DIR="../cold-uv").code in (
        4,
        6,
    )
    run = person.run(*words, "--store", "../shared", "--offline", "--cache-dir", "../cold", UV_CACHE_DIR="../cold-uv")
    assert run.code == 0, run.err
    found = packages(person)
    assert {name: found[name] for name in OLD} == OLD
    assert len(found) == 12


def test_an_export_is_all_that_a_machine_without_network_needs(person: Person, index: IndexServer) -> None:
    done = person.run("store", "export", "parcel", "--store", "../shared", "--profile", "blackwell")
    assert done.code == 0, done.err
    index.stop()
    parcel = person.project / "parcel"
    assert "uv pip sync --offline --require-hashes pylock.blackwell.toml" in (parcel / "README.md").read_text("utf-8")
    elsewhere = person.project.parent / "far away"
    parcel.rename(elsewhere)
    uv = str(find_uv(os.environ).path)
    environ = {"PATH": os.environ["PATH"], "HOME": str(person.home), "UV_CACHE_DIR": str(person.home / "empty")}
    for words in (
        ["venv", "-q", "--python", PYTHON, "env"],
        ["pip", "sync", "-q", "--offline", "--require-hashes", "--python", "env", "pylock.blackwell.toml"],
    ):
        subprocess.run([uv, *words], cwd=elsewhere, env=environ, check=True, capture_output=True)
    assert len(list(elsewhere.glob("env/lib/python*/site-packages/*.dist-info"))) == 12


def test_what_no_lock_names_is_pruned_and_damage_is_seen(person: Person, index: IndexServer) -> None:
    store = ("--store", "../shared", "--json")
    assert len(person.run("store", "list", *store).json["data"]["wheels"]) == 12
    assert person.run("store", "prune", *store).json["data"]["removed"] == []
    assert person.run("store", "verify", *store).code == 0
    (torch,) = person.project.parent.glob("shared/sha256/*/*/torch-*.whl")
    torch.write_bytes(torch.read_bytes() + b"more")
    damaged = person.run("store", "verify", *store)
    assert damaged.code == 5
    assert [row["filename"] for row in damaged.json["data"]["damaged"]] == [torch.name]
    (person.project / "lockfiles/pylock.blackwell.toml").unlink()
    refused = person.run("store", "prune", *store)
    assert refused.code == 2
    assert "pylock.blackwell.toml: there is no such file now" in refused.json["errors"][0]["causes"][0]
    forget = ("store", "prune", "--forget")
    assert len(person.run(*forget, "--dry-run", *store).json["data"]["removed"]) == 12
    assert len(person.run(*forget, *store).json["data"]["removed"]) == 12
    assert json.loads(person.run("store", *store).out)["data"]["wheels"] == []


def test_a_damaged_store_is_never_installed_from(person: Person, index: IndexServer) -> None:
    (torch,) = person.project.parent.glob("shared/sha256/*/*/torch-*.whl")
    torch.write_bytes(torch.read_bytes()[:-8] + b"otherend")
    index.stop()
    words = ("create", "--no-verify", "--offline", "--store", "../shared", *where(index, "blackwell"), *BLACKWELL)
    run = person.run(*words, "--cache-dir", "../cold", UV_CACHE_DIR="../cold-uv")
    assert run.code == 5, run.err
    assert not (person.project / ".venv-gpu").exists()
