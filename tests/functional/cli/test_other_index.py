"""A hostile or a stale package on another index never gets into a lock, whatever the environment says."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import BuiltWheel, build_wheel, torch_wheel

PROFILE = 'description = "t"\npackages = ["torch", "torchvision", "einops"]\n'
GOOD = {
    "einops": "0.8.1",
    "filelock": "3.19.0",
    "torch": "2.10.0+cu128",
    "torchvision": "0.25.0+cu128",
    "triton": "3.6.0",
}
FAMILY = ("torch", "torchvision", "triton", "pytorch-triton", "torchaudio")


@pytest.fixture
def torch_index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        pins = ["filelock", 'triton==3.6.0; platform_system == "Linux"']
        server.add(torch_wheel("2.10.0", "cu128", tag=TAG, requires=pins), folder="cu128")
        vision = build_wheel("torchvision", "0.25.0+cu128", tag=TAG, requires=["torch==2.10.0"])
        server.add(vision, folder="cu128")
        server.add(build_wheel("triton", "3.6.0", tag=TAG))
        yield server


@pytest.fixture
def package_index() -> Iterator[IndexServer]:
    """Where everything else comes from. Somebody has put the family's names on it too, some newer, some the same."""
    with IndexServer() as server:
        server.add_package(build_wheel("filelock", "3.19.0"))
        server.add_package(build_wheel("einops", "0.8.1"))
        poison(server)
        yield server


@pytest.fixture
def hostile() -> Iterator[IndexServer]:
    """An index of somebody else, with the family and nothing but."""
    with IndexServer() as server:
        poison(server)
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0"))
    person.write("profiles/team.toml", PROFILE)
    return person


def bad_wheels() -> list[BuiltWheel]:
    """The newest of everything, the very versions that are right, and an old one."""
    found = []
    for name in FAMILY:
        for version in ("99.0", GOOD.get(name, "3.6.0").partition("+")[0], "0.1"):
            found.append(build_wheel(name, version, files={f"{name.replace('-', '_')}/__init__.py": "evil = True\n"}))
    return found


def poison(server: IndexServer) -> None:
    for wheel in bad_wheels():
        server.add_package(wheel)


def locked(person: Person) -> list[dict[str, object]]:
    text = (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8")
    return list(tomllib.loads(text)["packages"])


def assert_clean(person: Person, torch_index: IndexServer, package_index: IndexServer) -> None:
    rows = locked(person)
    assert {row["name"]: row["version"] for row in rows} == GOOD
    for row in rows:
        (wheel,) = row["wheels"]  # type: ignore[misc] # a list of one
        home = package_index.default_index if row["name"] in ("einops", "filelock") else torch_index.torch_index
        assert wheel["url"].startswith(home + "/"), wheel["url"]


def every_variable(hostile: IndexServer, folder: Path) -> Mapping[str, str]:
    """Every variable by which uv or pip can be pointed somewhere else."""
    url, page = hostile.default_index, folder.as_uri()
    config = folder / "evil.toml"
    config.write_text(f'index-url = "{url}"\n[pip]\nindex-url = "{url}"\nfind-links = ["{page}"]\n', encoding="utf-8")
    constraint = folder / "evil.txt"
    constraint.write_text("torch==99.0\ntriton==99.0\n", encoding="utf-8")
    return {
        "UV_INDEX": url,
        "UV_DEFAULT_INDEX": url,
        "UV_INDEX_URL": url,
        "UV_EXTRA_INDEX_URL": url,
        "UV_FIND_LINKS": str(folder),
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_TORCH_BACKEND": "cpu",
        "UV_CONSTRAINT": str(constraint),
        "UV_OVERRIDE": str(constraint),
        "UV_BUILD_CONSTRAINT": str(constraint),
        "UV_CONFIG_FILE": str(config),
        "UV_PRERELEASE": "allow",
        "UV_RESOLUTION": "lowest",
        "UV_LINK_MODE": "symlink",
        "UV_NO_VERIFY_HASHES": "1",
        "UV_INSECURE_HOST": "127.0.0.1",
        "UV_SYSTEM_PYTHON": "1",
        "UV_CUSTOM_COMPILE_COMMAND": "evil",
        "PIP_INDEX_URL": url,
        "PIP_FIND_LINKS": str(folder),
        "PIP_CONSTRAINT": str(constraint),
        "PIP_PRE": "1",
        "PIP_TRUSTED_HOST": "127.0.0.1",
        "PIP_TARGET": str(folder / "elsewhere"),
    }


def test_with_every_variable_of_uv_and_pip_set(
    person: Person, torch_index: IndexServer, package_index: IndexServer, hostile: IndexServer, tmp_path: Path
) -> None:
    links = tmp_path / "links"
    for wheel in bad_wheels():
        wheel.write(links)
    for name, version in itertools.product(("einops", "filelock"), ("0.0.1", "99.0")):
        hostile.add_package(build_wheel(name, version))
    where = ("--torch-index", torch_index.torch_index, "--index", package_index.default_index)
    words = ("lock", "--profile", "team", "--machine", "machine.json", "--python", PYTHON, *where)
    run = person.run(*words, **every_variable(hostile, links))
    assert run.code == 0, run.err
    assert_clean(person, torch_index, package_index)
    assert hostile.log == []
    assert not [each.path for each in package_index.log if each.path.strip("/").split("/")[1] in FAMILY]


def test_in_any_order_of_indexes(
    person: Person, torch_index: IndexServer, package_index: IndexServer, hostile: IndexServer
) -> None:
    """pip's configuration and the options name the good and the bad index, each as the first and as an extra one."""
    good, bad = package_index.default_index, hostile.default_index
    base = ("lock", "--upgrade", "--profile", "team", "--machine", "machine.json", "--python", PYTHON)
    base += ("--torch-index", torch_index.torch_index)
    for order in itertools.permutations((good, bad)):
        for words, variables in (
            ((), {"PIP_INDEX_URL": order[0], "PIP_EXTRA_INDEX_URL": order[1]}),
            (("--index", good), {"PIP_EXTRA_INDEX_URL": " ".join(order)}),
            (("--index", good), {"PIP_INDEX_URL": bad, "UV_DEFAULT_INDEX": bad, "PIP_EXTRA_INDEX_URL": bad}),
        ):
            run = person.run(*base, *words, **variables)
            assert run.code == 0, (order, words, variables, run.err)
            assert_clean(person, torch_index, package_index)
            (person.project / "lockfiles/pylock.team.toml").unlink()


def test_a_configuration_file_in_the_project_changes_nothing(
    person: Person, torch_index: IndexServer, package_index: IndexServer, hostile: IndexServer
) -> None:
    url = hostile.default_index
    person.write("uv.toml", f'index-url = "{url}"\n[[index]]\nname = "evil"\nurl = "{url}"\ndefault = true\n')
    person.write(
        "pyproject.toml",
        f'[project]\nname = "x"\nversion = "1"\n[[tool.uv.index]]\nname = "evil"\nurl = "{url}"\n'
        '[tool.uv.sources]\ntorch = { index = "evil" }\ntriton = { index = "evil" }\n',
    )
    where = ("--torch-index", torch_index.torch_index, "--index", package_index.default_index)
    run = person.run("lock", "--profile", "team", "--machine", "machine.json", "--python", PYTHON, *where)
    assert run.code == 0, run.err
    assert_clean(person, torch_index, package_index)
    assert hostile.log == []


def test_a_family_name_that_only_the_other_index_has_is_an_error(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """The torchtriton attack of December 2022: a dependency of torch that the torch index lacks, free to be taken."""
    torch_index.remove(f"triton-3.6.0-{TAG}.whl")
    where = ("--torch-index", torch_index.torch_index, "--index", package_index.default_index)
    run = person.run("lock", "--profile", "team", "--machine", "machine.json", "--python", PYTHON, *where)
    assert run.code == 3, run.err
    assert "triton may come from the torch source only" in run.err
    assert not (person.project / "lockfiles").exists()


def test_with_a_stale_copy_first_in_a_folder(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """--find-links of a folder is the user's own word for where torch may come from; for its files alone it is not."""
    folder = person.project / "old"
    build_wheel("filelock", "1.0").write(folder)
    where = ("--torch-index", torch_index.torch_index, "--index", package_index.default_index)
    words = ("lock", "--profile", "team", "--machine", "machine.json", "--python", PYTHON, *where)
    run = person.run(*words, "--find-links", "old")
    assert run.code == 0, run.err
    versions = {row["name"]: row["version"] for row in locked(person)}
    assert versions == GOOD
