"""The twelve projects: each locked and built for its machine, each lock checked on six machines."""

from __future__ import annotations

import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.cli import Person, Run
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import BuiltWheel, build_wheel, torch_wheel

HERE = Path(__file__).parent
PROJECTS = sorted(path.parent.name for path in HERE.glob("*/expected.toml"))
MACHINES = sorted(path.stem for path in HERE.glob("machines/*.json"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """The two servers, and the wheels of the package index by name and version."""

    main: IndexServer
    private: IndexServer
    wheels: Mapping[str, BuiltWheel]

    def filled(self, text: str) -> str:
        """A file of a project with the addresses and hashes of this run."""
        text = text.replace("@PACKAGES@", self.main.default_index).replace("@PRIVATE@", self.private.default_index)
        return re.sub("@SHA256:([^@]+)@", lambda found: self.wheels[found[1]].sha256, text)


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def indexes() -> Iterator[Indexes]:
    offered = read(HERE / "index.toml")
    wheels = {key: build_wheel(*key.split(), requires=requires) for key, requires in offered["packages"].items()}
    with IndexServer() as main, IndexServer() as private:
        for release, builds in offered["torch"].items():
            for variant in builds:
                main.add(torch_wheel(release, variant, tag=TAG, requires=["filelock"]), folder=variant)
                for name in ("torchvision", "xformers"):
                    if (version := offered[name].get(release)) is not None:
                        pins = [f"torch=={release}", "numpy"]
                        main.add(build_wheel(name, f"{version}+{variant}", tag=TAG, requires=pins), folder=variant)
        for wheel in wheels.values():
            main.add_package(wheel)
        for key, requires in offered["private"].items():
            private.add_package(build_wheel(*key.split(), requires=requires))
        yield Indexes(main=main, private=private, wheels=wheels)


def test_there_are_twelve_and_six_machines() -> None:
    assert (len(PROJECTS), len(MACHINES)) == (12, 6)


def said_in(run: Run, sentences: list[str], indexes: Indexes) -> None:
    for sentence in sentences:
        assert indexes.filled(sentence) in run.err, run.err


@pytest.mark.parametrize("name", PROJECTS)
def test_project(name: str, indexes: Indexes, tmp_path: Path) -> None:
    expected = read(HERE / name / "expected.toml")
    person = Person.at(
        tmp_path, PIP_INDEX_URL=indexes.main.default_index, GPUENV_TORCH_INDEX=indexes.main.torch_index, COLUMNS="400"
    )
    for path in (HERE / name).iterdir():
        if path.name != "expected.toml":
            person.write(path.name, indexes.filled(path.read_text(encoding="utf-8")))
    shutil.copytree(HERE / "machines", person.project / "machines")
    words = ["--machine", f"machines/{expected['machine']}.json", "--python", PYTHON]
    run = person.run("lock", *words, *expected.get("words", ()))
    assert run.code == expected.get("exit", 0), run.err
    said_in(run, expected.get("refused", []), indexes)
    if "then" in expected:
        assert not (person.project / "lockfiles").exists(), "a line that is not followed locks nothing"
        run = person.run("lock", *words, *expected["then"])
        assert run.code == 0, run.err
    said_in(run, expected.get("said", []), indexes)
    lock = person.project / "lockfiles" / "pylock.auto.toml"
    locked = {row["name"]: row["version"] for row in read(lock)["packages"]}
    assert {key: locked.get(key) for key in expected["locked"]} == expected["locked"]
    assert not set(expected.get("absent", ())) & set(locked)
    built = person.run("create", "--no-verify", *words, *expected.get("then", expected.get("words", ())))
    assert built.code == 0, built.err
    assert "Using lockfile lockfiles/pylock.auto.toml" in built.err
    there = {path.name.partition("-")[0] for path in person.project.glob(".venv-gpu/lib/*/site-packages/*.dist-info")}
    assert {name.replace("-", "_") for name in locked} <= there
    check(person, lock, expected["check"])


def check(person: Person, lock: Path, expected: Mapping[str, str]) -> None:
    """What `gpuenv check` says of the locked torch on each machine, and how it ends."""
    machines = [word for name in MACHINES for word in ("--machine", f"machines/{name}.json")]
    run = person.run("check", lock.relative_to(person.project).as_posix(), *machines, "--json")
    rows = [row for row in run.json["data"]["rows"] if row["package"] == "torch"]
    said = {Path(row["machine"]).stem: row["verdict"] for row in rows}
    assert said == expected, run.err
    assert run.code == (0 if set(expected.values()) == {"native"} else 1)
