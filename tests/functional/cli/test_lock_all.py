"""Every bundled profile at once, on a recorded day: each page is asked for once, and again only by its validator."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person
from support.index_server import IndexServer
from support.nights import add_dependencies

pytestmark = pytest.mark.xdist_group("recorded-index")

MACHINES = Path(__file__).resolve().parents[3] / "lockfiles" / "machines"
BUNDLED = ["ada", "ampere", "blackwell", "cpu", "hopper", "m40", "maxwell", "pascal", "turing", "volta"]


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with IndexServer(real_hashes=False) as server:
        add_dependencies(server)
        server.serve_day("2026-01-03")
        yield server


def test_every_page_once_and_then_validators_only(tmp_path: Path, index: IndexServer) -> None:
    person = Person.at(tmp_path)
    shutil.copytree(MACHINES, person.project / "lockfiles" / "machines")
    where = ("--torch-index", index.torch_index, "--index", index.default_index)

    first = person.run("lock", "--all", "--json", *where)
    assert first.code == 0, first.err
    made = first.json["data"]["locks"]
    assert [row["profile"] for row in made] == BUNDLED
    assert {row["action"] for row in made} == {"written"}
    assert {row["profile"]: row["variant"] for row in made}["pascal"] == "cu126"
    assert {row["profile"]: row["torch"] for row in made}["m40"] == "2.11.0.dev20260102+cu128"

    pages = Counter(request.path for request in index.pages())
    assert set(pages.values()) == {1}, pages.most_common(3)
    torch = {path for path in pages if path.startswith("/whl/")}
    names = ("torch", "torchaudio", "torchvision", "triton")
    assert torch == {f"/whl/{folder}{name}/" for folder in ("", "nightly/") for name in names}

    texts = {path: path.read_bytes() for path in person.project.glob("lockfiles/*.toml")}
    seen = len(index.log)
    second = person.run("lock", "--all", "--upgrade", "--refresh", *where)
    assert second.code == 0, second.err
    again = index.log[seen:]
    assert again
    assert {request.status for request in again} == {304}
    assert sum(request.sent for request in again) == 0
    assert set(Counter(each.path for each in again if each.path.startswith("/whl/")).values()) == {1}
    assert {path: path.read_bytes() for path in texts} == texts


def test_one_profile_that_cannot_be_locked_does_not_keep_the_others_from_it(tmp_path: Path, index: IndexServer) -> None:
    person = Person.at(tmp_path)
    shutil.copytree(MACHINES, person.project / "lockfiles" / "machines")
    index.clear()
    index.serve_day("2026-01-03", variants=["cpu", "cu126"])
    run = person.run("lock", "--all", "--json", "--torch-index", index.torch_index, "--index", index.default_index)
    actions = {row["profile"]: row["action"] for row in run.json["data"]["locks"]}
    assert run.code == 1
    assert [name for name, action in actions.items() if action == "failed"] == ["blackwell", "m40"]
    assert "sm_120" in run.json["errors"][0]["message"]
    assert sorted(path.name.split(".")[1] for path in person.project.glob("lockfiles/*.toml")) == [
        name for name in BUNDLED if actions[name] == "written"
    ]
