"""Torch decided together with the packages that need it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, Run, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import BuiltWheel, build_wheel, companion_wheel, torch_wheel

RELEASES = (("2.8.0", "0.23.0", "cu128", "3.4.0"), ("2.9.1", "0.24.1", "cu130", "3.5.1"))
WORDS = ("lock", "--profile", "team", "--machine", "machine.json", "--python", PYTHON)


def family() -> list[tuple[BuiltWheel, str]]:
    """torch, torchvision and triton of two releases, each with its folder."""
    found = []
    for torch, vision, variant, triton in RELEASES:
        pins = ["filelock", f'triton=={triton}; platform_system == "Linux"']
        found.append((torch_wheel(torch, variant, tag=TAG, requires=pins), variant))
        found.append(
            (build_wheel("torchvision", f"{vision}+{variant}", tag=TAG, requires=[f"torch=={torch}"]), variant)
        )
        found.append((build_wheel("triton", triton, tag=TAG, requires=["setuptools>=40"]), ""))
    return found


@pytest.fixture
def torch_index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        for wheel, folder in family():
            server.add(wheel, folder=folder)
        yield server


@pytest.fixture
def package_index() -> Iterator[IndexServer]:
    """Everything else, and copies of the family that nobody may take."""
    with IndexServer() as server:
        for name, version in (("filelock", "3.19.0"), ("setuptools", "80.0"), ("einops", "0.8.1")):
            server.add_package(build_wheel(name, version))
        for name in ("torch", "torchvision", "triton"):
            server.add_package(build_wheel(name, "99.0"))
            server.add_package(build_wheel(name, "2.8.0"))
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0", driver="580.95.05", cuda="13.0"))
    return person


def profile(person: Person, *packages: str) -> None:
    names = ", ".join(f'"{name}"' for name in ("torch", "torchvision", *packages))
    person.write("profiles/team.toml", f'description = "t"\npackages = [{names}]\n')


def locked(person: Person, name: str = "team") -> dict[str, str]:
    text = (person.project / f"lockfiles/pylock.{name}.toml").read_text(encoding="utf-8")
    return {row["name"]: row["version"] for row in tomllib.loads(text)["packages"]}


def resolutions(run: Run) -> int:
    """How often uv was asked to resolve; that it is asked afterwards what its answer needs is none."""
    lines = [line for line in run.err.splitlines() if "$ uv pip compile" in line]
    return sum("--annotation-style" not in line for line in lines)


def lock(person: Person, torch_index: IndexServer, package_index: IndexServer, *words: str) -> Run:
    places = ("--torch-index", torch_index.torch_index, "--index", package_index.default_index)
    run = person.run(*WORDS, *places, "-v", *words, COLUMNS="400")
    assert not [each.path for each in package_index.log if each.path.startswith(("/simple/torch", "/simple/triton"))]
    return run


OLD = {
    "filelock": "3.19.0",
    "setuptools": "80.0",
    "torch": "2.8.0+cu128",
    "torchvision": "0.23.0+cu128",
    "triton": "3.4.0",
}


@pytest.mark.parametrize("pin", ["torch==2.8.0", "torchvision==0.23.0", "torch<2.9"])
def test_a_package_that_needs_another_torch_decides_it(
    person: Person, torch_index: IndexServer, package_index: IndexServer, pin: str
) -> None:
    """F5."""
    profile(person, "appold")
    package_index.add_package(build_wheel("appold", "1.0", requires=[pin]))
    run = lock(person, torch_index, package_index)
    assert run.code == 0, run.err
    assert locked(person) == OLD | {"appold": "1.0"}
    assert f"appold 1.0 requires {pin}; without it, torch 2.9.1+cu130 would have been chosen." in run.err
    assert resolutions(run) == 3, "torch and packages together, the newest of each, and what the chosen torch needs"
    assert lock(person, torch_index, package_index, "--check").code == 0


def test_a_dependency_of_a_package_decides_it_too(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    profile(person, "app")
    package_index.add_package(build_wheel("app", "1.0", requires=["engine"]))
    package_index.add_package(build_wheel("engine", "3.0", requires=["torch==2.8.0"]))
    run = lock(person, torch_index, package_index)
    assert run.code == 0, run.err
    assert locked(person) == OLD | {"app": "1.0", "engine": "3.0"}
    assert "engine 3.0 requires torch==2.8.0" in run.err


def test_a_package_is_not_walked_back_to_a_release_that_pinned_nothing(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """The way of vLLM: uv would take the newest torch first, and a release of two years ago that goes with it."""
    profile(person, "server")
    package_index.add_package(build_wheel("server", "0.33.0", requires=["torch==2.8.0", "torchvision==0.23.0"]))
    package_index.add_package(build_wheel("server", "0.2.5"))
    run = lock(person, torch_index, package_index)
    assert run.code == 0, run.err
    assert locked(person) == OLD | {"server": "0.33.0"}


def test_packages_that_need_no_torch_leave_the_decision(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    profile(person, "einops")
    run = lock(person, torch_index, package_index)
    assert run.code == 0, run.err
    assert locked(person)["torch"] == "2.9.1+cu130"
    assert resolutions(run) == 3, "torch and packages together, the newest of each, and what the chosen torch needs"
    assert "would have been chosen" not in run.err


def test_without_other_packages_uv_is_asked_once(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    profile(person)
    run = lock(person, torch_index, package_index)
    assert run.code == 0, run.err
    assert resolutions(run) == 1


def test_from_a_folder_whose_wheels_have_to_be_read(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    profile(person, "appold")
    package_index.add_package(build_wheel("appold", "1.0", requires=["torch==2.8.0"]))
    for wheel, _ in family():
        wheel.write(person.project / "wheels")
    run = lock(person, torch_index, package_index, "--find-links", "wheels")
    assert run.code == 0, run.err
    assert locked(person) == OLD | {"appold": "1.0"}


def test_by_a_cutoff_date(person: Person, torch_index: IndexServer, package_index: IndexServer) -> None:
    """What the index gives no time for is out of reach with a cutoff; the family's own rows are judged by theirs."""
    profile(person, "appold")
    package_index.add_package(build_wheel("appold", "1.0", requires=["torch==2.8.0"]))
    run = lock(person, torch_index, package_index, "--exclude-newer", "2030-01-01", "--allow-unknown-kernels")
    assert "Traceback" not in run.err


def test_a_companion_that_a_package_needs_is_of_torchs_build(person: Person, package_index: IndexServer) -> None:
    """F1 by way of a package: the newest torch has no torchaudio of its build, an older one has."""
    person.write("profiles/team.toml", 'description = "t"\npackages = ["torch", "speech"]\n')
    with IndexServer() as index:
        for version, variant in (("2.15.0", "cu132"), ("2.14.1", "cu130")):
            index.add_package(torch_wheel(version, variant, tag=TAG, local=False, requires=["filelock"]))
        index.add_package(companion_wheel("torchaudio", "2.11.0", "cu130", tag=TAG))
        index.add_package(build_wheel("speech", "1.0", requires=["torchaudio"]))
        index.add_package(build_wheel("filelock", "3.19.0"))
        run = person.run(*WORDS, "--index", index.default_index)
        assert run.code == 0, run.err
        assert locked(person) == {"filelock": "3.19.0", "speech": "1.0", "torch": "2.14.1", "torchaudio": "2.11.0"}


def test_a_torch_that_nobody_has_is_refused_by_name(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    profile(person, "appold")
    package_index.add_package(build_wheel("appold", "1.0", requires=["torch==2.7.0"]))
    run = lock(person, torch_index, package_index)
    assert run.code == 6, run.err
    assert "appold does not go with any torch that fits this machine (2.9.1, 2.8.0)" in run.err
    assert not (person.project / "lockfiles").exists()


def test_one_more_resolution_tells_what_fell_behind_and_what_holds_it_back(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    profile(person, "einops", "server")
    package_index.add_package(build_wheel("server", "2.0", requires=["einops<0.8"]))
    package_index.add_package(build_wheel("einops", "0.7.0"))
    run = lock(person, torch_index, package_index)
    assert run.code == 0, run.err
    assert locked(person)["server"] == "2.0"
    assert "einops 0.7.0 is chosen, not 0.8.1, the newest: server 2.0 requires einops<0.8" in run.err
    assert resolutions(run) == 3


def test_what_a_machine_s_own_glibc_can_use_is_used_and_the_lock_says_so(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """PyTorch builds for glibc 2.28; what a package beside it needs may be newer than that, and the machine too."""
    profile(person, "server")
    new, old = (f"py3-none-manylinux_2_{minor}_x86_64" for minor in (34, 17))
    package_index.add_package(build_wheel("server", "2.0", requires=["guide", "both"]))
    package_index.add_package(build_wheel("server", "1.0"))
    package_index.add_package(build_wheel("guide", "1.0", tag=new))
    for tag in (new, old):
        package_index.add_package(build_wheel("both", "1.0", tag=tag))
    run = lock(person, torch_index, package_index)
    assert run.code == 0, run.err
    text = (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8")
    assert locked(person)["server"] == "2.0"
    assert 'libc = "glibc 2.34"' in text
    assert f"both-1.0-{old}.whl" in text, "no newer one than is needed"
    person.write("machine.json", machine_json("12.0", driver="580.95.05", cuda="13.0").replace("2.39", "2.31"))
    run = lock(person, torch_index, package_index, "--upgrade")
    assert run.code == 0, run.err
    assert (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8") == text, "for a newer C library"
    (own,) = (path for path in (person.project / "lockfiles").glob("pylock.*.toml") if path.name != "pylock.team.toml")
    assert f"it stays as it is, this machine's is lockfiles/{own.name}" in run.err
    assert locked(person, own.name.removeprefix("pylock.").removesuffix(".toml"))["server"] == "1.0"
    said = (
        "server 1.0 is chosen, not 2.0, the newest: it requires guide, which has no wheel for this machine and Python"
    )
    assert said in run.err
    assert resolutions(run) == 3


def test_where_torch_lags_the_newest_release_whose_torch_is_to_be_had_decides(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """vLLM on an index of torch of last month: uv gives up on every release that pins a torch, and takes one of two
    years ago that pinned nothing."""
    profile(person, "server")
    for minor in range(20, 34):
        torch = {20: "2.8.0"}.get(minor, f"3.{minor}.0")
        package_index.add_package(build_wheel("server", f"0.{minor}.0", requires=[f"torch=={torch}"]))
    package_index.add_package(build_wheel("server", "0.2.5", requires=["torch>=2.0"]))
    run = lock(person, torch_index, package_index)
    assert run.code == 0, run.err
    assert {name: version for name, version in locked(person).items() if name in ("torch", "server")} == {
        "torch": "2.8.0+cu128", "server": "0.20.0"
    }  # fmt: skip
    said = "server 0.20.0 is chosen, not 0.33.0, the newest: it requires torch==3.33.0, and no such torch is offered"
    assert said in run.err
    assert resolutions(run) == 3
    assert lock(person, torch_index, package_index, "--check").code == 0
