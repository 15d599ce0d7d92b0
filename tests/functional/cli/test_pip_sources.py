"""What pip's configuration names: all of it together for everything outside the family, and what of it serves torch."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, Run, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

TORCH = "2.10.0+cu128"
WORDS = ("lock", "--profile", "team", "--machine", "machine.json", "--python", PYTHON)


def packages(*wheels: tuple[str, str]) -> IndexServer:
    server = IndexServer()
    for name, version in wheels:
        server.add_package(build_wheel(name, version))
    return server


@pytest.fixture
def torch_index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cu128", tag=TAG, requires=["helper>=2"]), folder="cu128")
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0"))
    person.write("profiles/team.toml", 'description = "t"\npackages = ["torch", "einops"]\n')
    return person


def locked(person: Person) -> dict[str, tuple[str, str]]:
    """Version and address of each package."""
    text = (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["packages"]
    return {row["name"]: (row["version"], row["wheels"][0].get("url", "")) for row in rows}


def pip_conf(person: Person, text: str) -> dict[str, str]:
    return {"PIP_CONFIG_FILE": str(person.write("pip.conf", f"[global]\n{text}"))}


@pytest.mark.parametrize("swapped", [False, True])
def test_an_older_copy_on_either_index_stands_in_nobodys_way(
    person: Person, torch_index: IndexServer, swapped: bool
) -> None:
    """F3: the first index that knows a name does not decide, as it does not for pip."""
    with packages(("helper", "2.1"), ("einops", "0.8.1")) as one, packages(("helper", "1.0"), ("einops", "0.1")) as two:
        first, second = (two, one) if swapped else (one, two)
        conf = pip_conf(person, f"index-url = {first.default_index}\nextra-index-url = {second.default_index}\n")
        run = person.run(*WORDS, "--torch-index", torch_index.torch_index, **conf)
        assert run.code == 0, run.err
        found = locked(person)
        assert {name: version for name, (version, _) in found.items()} == {
            "einops": "0.8.1",
            "helper": "2.1",
            "torch": TORCH,
        }


def test_the_newest_of_any_index_is_taken_and_of_equal_ones_that_of_index_url(
    person: Person, torch_index: IndexServer
) -> None:
    with packages(("helper", "2.1"), ("einops", "0.8.1")) as one, packages(("helper", "2.1"), ("einops", "0.9")) as two:
        conf = pip_conf(person, f"index-url = {one.default_index}\nextra-index-url = {two.default_index}\n")
        run = person.run(*WORDS, "--torch-index", torch_index.torch_index, **conf)
        assert run.code == 0, run.err
        found = locked(person)
        assert found["einops"][0] == "0.9"
        assert found["helper"][1].startswith(one.url)


def test_a_folder_of_pip_counts_with_the_indexes(person: Person, torch_index: IndexServer) -> None:
    folder = person.project / "wheels"
    build_wheel("helper", "2.2").write(folder)
    with packages(("helper", "2.1"), ("einops", "0.8.1")) as index:
        conf = pip_conf(person, f"index-url = {index.default_index}\nfind-links = {folder}\n")
        run = person.run(*WORDS, "--torch-index", torch_index.torch_index, **conf)
        assert run.code == 0, run.err
        assert locked(person)["helper"][0] == "2.2"


def test_the_index_of_the_command_line_stands_alone(person: Person, torch_index: IndexServer) -> None:
    """N3: what variables add brings nothing."""
    folder = person.project / "wheels"
    build_wheel("helper", "99").write(folder)
    with packages(("helper", "2.1"), ("einops", "0.8.1")) as good, packages(("einops", "99")) as other:
        run = person.run(
            *WORDS, "--torch-index", torch_index.torch_index, "--index", good.default_index,
            PIP_EXTRA_INDEX_URL=other.default_index, PIP_FIND_LINKS=str(folder),
        )  # fmt: skip
        assert run.code == 0, run.err
        assert {name: version for name, (version, _) in locked(person).items()} == {
            "einops": "0.8.1",
            "helper": "2.1",
            "torch": TORCH,
        }
        assert other.log == []


@pytest.fixture
def foreign() -> Iterator[IndexServer]:
    """Somebody's index and page with a torch of their own."""
    with IndexServer() as server:
        wheel = torch_wheel("9.9", "cu128", tag=TAG, local=False)
        server.add_package(wheel)
        server.add_package(build_wheel("helper", "2.1"))
        server.add_package(build_wheel("einops", "0.8.1"))
        yield server


def assert_no_torch(run: Run, person: Person, foreign: IndexServer) -> None:
    assert run.code == 4, run.err
    assert "was not asked: what pip adds to its index serves no package of torch's family" in run.err
    assert not (person.project / "lockfiles").exists()
    assert not [each for each in foreign.log if each.path.startswith("/simple/torch/")]


def test_an_extra_index_never_serves_torch(person: Person, foreign: IndexServer) -> None:
    """N1: PyTorch's index cannot be reached here, and an extra index has torch 9.9."""
    run = person.run(*WORDS, PIP_EXTRA_INDEX_URL=foreign.default_index, PIP_NO_INDEX="0", PIP_INDEX_URL=empty(foreign))
    assert_no_torch(run, person, foreign)
    assert f"add `--index {foreign.default_index}`" in run.err


def empty(server: IndexServer) -> str:
    """The address of an index without anything."""
    return f"{server.url}/nothing"


def test_a_page_of_links_never_serves_torch(person: Person, foreign: IndexServer) -> None:
    page = f"{foreign.default_index}/torch/"
    run = person.run(*WORDS, PIP_FIND_LINKS=page, PIP_INDEX_URL=empty(foreign))
    assert_no_torch(run, person, foreign)
    assert f"add `--find-links {page}`" in run.err


@pytest.mark.parametrize("how", ["index", "find-links"])
def test_the_option_that_the_hint_names_brings_it(person: Person, foreign: IndexServer, how: str) -> None:
    place = foreign.default_index if how == "index" else f"{foreign.default_index}/torch/"
    more = {} if how == "index" else {"PIP_INDEX_URL": foreign.default_index}
    run = person.run(*WORDS, f"--{how}", place, **more)
    assert run.code == 0, run.err
    assert locked(person)["torch"][0] == "9.9"
    assert f"torch comes from {place}" in run.err


def test_a_folder_of_pip_stays_a_source_and_is_named_when_quiet(person: Person, foreign: IndexServer) -> None:
    folder = person.project / "wheels"
    torch_wheel("2.10.0", "cu128", tag=TAG).write(folder)
    run = person.run(*WORDS, "-q", PIP_FIND_LINKS=str(folder), PIP_INDEX_URL=foreign.default_index)
    assert run.code == 0, run.err
    assert locked(person)["torch"][0] == TORCH
    assert f"torch comes from {folder} (PIP_FIND_LINKS), not from PyTorch's own index" in run.err
