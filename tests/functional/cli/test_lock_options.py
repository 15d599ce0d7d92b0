"""The options of `lock`: several machines, one package, a cutoff, another format, a single source."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person, Run, machine_json
from support.index_server import Fault, IndexServer
from support.nights import PYTHON, TAG, add_dependencies, add_night, team, where
from support.wheels import build_wheel, torch_wheel

ANY = """\
description = "Torch and a package of the index"
packages = ["torch", "torchvision", "einops"]
"""


@pytest.fixture
def index() -> Iterator[IndexServer]:
    """A stable release in two variants, one of which needs a newer driver."""
    with IndexServer() as server:
        for variant in ("cu128", "cu130"):
            torch = torch_wheel("2.9.1", variant, tag=TAG, requires=["filelock", "triton==3.5.1"])
            server.add(torch, folder=variant)
            vision = build_wheel("torchvision", f"0.24.1+{variant}", tag=TAG, requires=["torch==2.9.1", "numpy"])
            server.add(vision, folder=variant)
        server.add(build_wheel("triton", "3.5.1", tag=TAG))
        for version in ("0.7.0", "0.8.0"):
            server.add_package(build_wheel("einops", version))
        add_dependencies(server)
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    person.write("profiles/any.toml", ANY)
    person.write("new.json", machine_json("9.0", driver="580.95.05", cuda="13.0", name="NVIDIA H100"))
    person.write("old.json", machine_json("9.0", driver="570.133.20", cuda="12.8", name="NVIDIA H200"))
    person.write("desk.json", machine_json("12.0", driver="580.95.05", cuda="13.0"))
    return person


def lock(person: Person, index: IndexServer, *words: str) -> Run:
    return person.run("lock", *where(index, "any"), "--python", PYTHON, *words)


def read(person: Person, name: str) -> dict[str, Any]:
    text = (person.project / f"lockfiles/pylock.{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def versions(document: dict[str, Any]) -> dict[str, str]:
    return {package["name"]: package["version"] for package in document["packages"]}


def test_one_lock_a_class_of_machines_made_for_the_weakest(person: Person, index: IndexServer) -> None:
    run = lock(person, index, "--for", "new.json", "--for", "old.json", "--for", "desk.json")
    assert run.code == 0, run.err
    assert {path.name for path in person.project.glob("lockfiles/*")} == {
        "pylock.any-linux-x86-64-sm90.toml",
        "pylock.any-linux-x86-64-sm120.toml",
    }
    servers = read(person, "any-linux-x86-64-sm90")
    assert servers["tool"]["gpuenv"]["decision"]["variant"] == "cu128"
    assert servers["tool"]["gpuenv"]["inputs"]["machine"]["driver"] == "570.133.20"
    assert read(person, "any-linux-x86-64-sm120")["tool"]["gpuenv"]["decision"]["variant"] == "cu130"
    assert "For the machine in old.json: NVIDIA H200 (9.0)" in run.err
    machines = ("--for", "new.json", "--for", "old.json", "--for", "desk.json")
    assert lock(person, index, "--check", *machines).code == 0
    index.add_package(build_wheel("einops", "0.9.0"))
    checked = lock(person, index, "--check", "--refresh", *machines)
    assert checked.code == 1
    moved = [" - einops==0.8.0", " + einops==0.9.0"]
    assert checked.out.splitlines() == [
        "lockfiles/pylock.any-linux-x86-64-sm120.toml:", *moved, "lockfiles/pylock.any-linux-x86-64-sm90.toml:", *moved
    ]  # fmt: skip

    other = person.run("create", "--no-verify", *where(index, "any"), "--machine", "new.json")
    assert other.code == 0, other.err
    assert "Using lockfile lockfiles/pylock.any-linux-x86-64-sm90.toml" in other.err


def test_the_same_machines_in_another_order_give_the_same_locks(person: Person, index: IndexServer) -> None:
    def texts(*machines: str) -> dict[str, str]:
        words = [word for name in machines for word in ("--for", name)]
        assert lock(person, index, *words).code == 0
        found = {path.name: path.read_text("utf-8") for path in person.project.glob("lockfiles/*")}
        for name in found:
            (person.project / "lockfiles" / name).unlink()
        return {name: re.sub(r"( --for \S+)+", "", text) for name, text in found.items()}

    assert texts("new.json", "old.json", "desk.json") == texts("desk.json", "old.json", "new.json")


def test_one_package_moves_and_the_others_stay(person: Person, index: IndexServer) -> None:
    assert lock(person, index, "--machine", "desk.json").code == 0
    before = versions(read(person, "any"))
    index.add_package(build_wheel("einops", "0.9.0"))
    index.add_package(build_wheel("numpy", "2.9.0"))
    for variant in ("cu128", "cu130"):
        index.add(torch_wheel("2.10.0", variant, tag=TAG, requires=["filelock"]), folder=variant)
        vision = build_wheel("torchvision", f"0.25.0+{variant}", tag=TAG, requires=["torch==2.10.0", "numpy"])
        index.add(vision, folder=variant)
    run = lock(person, index, "--machine", "desk.json", "--refresh", "--upgrade-package", "Einops")
    assert run.code == 0, run.err
    assert run.out.splitlines() == [" - einops==0.8.0", " + einops==0.9.0"]
    assert versions(read(person, "any")) == before | {"einops": "0.9.0"}

    run = lock(person, index, "--machine", "desk.json", "-P", "torch")
    assert run.code == 0, run.err
    moved = before | {"einops": "0.9.0", "torch": "2.10.0+cu130", "torchvision": "0.25.0+cu130"}
    del moved["triton"]
    assert versions(read(person, "any")) == moved

    slip = lock(person, index, "--machine", "desk.json", "-P", "einop")
    assert slip.code == 2
    assert "locks no such package" in slip.err


def test_nothing_newer_than_a_date(tmp_path: Path) -> None:
    person = team(tmp_path)
    with IndexServer() as index:
        for day in ("20260101", "20260102", "20260103"):
            add_night(index, day, requires=())
        run = person.run("lock", *where(index), "--exclude-newer", "2026-01-02")
        assert run.code == 0, run.err
        document = read(person, "team")
        assert versions(document)["torch"] == "2.11.0.dev20260102+cpu"
        assert str(document["tool"]["gpuenv"]["inputs"]["cutoff"]).startswith("2026-01-02")
        assert "--exclude-newer 2026-01-02" in document["tool"]["gpuenv"]["command"]
        assert person.run("lock", "--check", *where(index)).code == 0  # the cutoff is the lock's own
        assert person.run("lock", "--check", *where(index), "--exclude-newer", "2026-01-03").code == 1


def test_a_check_is_of_the_lock_s_own_python(tmp_path: Path) -> None:
    """Another machine's usual Python, or this one's, is no reason to lock again."""
    person = Person.at(tmp_path)
    person.write("profiles/two.toml", 'description = "t"\npackages = ["torch"]\n')
    person.write("desk.json", machine_json("12.0", driver="580.95.05", cuda="13.0"))
    with IndexServer() as index:
        for python in ("cp312", "cp313"):
            tag = f"{python}-{python}-manylinux_2_28_x86_64"
            index.add(torch_wheel("2.9.1", "cu128", tag=tag), folder="cu128")
        here = (*where(index, "two"), "--machine", "desk.json")
        assert person.run("lock", *here, "--python", "3.13").code == 0
        assert read(person, "two")["packages"][-1]["wheels"][0]["name"].startswith("torch-2.9.1+cu128-cp313")
        checked = person.run("lock", *here, "--check")
        assert checked.code == 0, checked.err
        assert person.run("lock", *here, "--check", "--python", "3.12").code == 1


def test_a_check_is_of_the_python_that_was_decided_for_the_lock(tmp_path: Path) -> None:
    """Nobody asked for it: it was the only one with a wheel. One for the usual Python is no reason to lock again."""
    person = Person.at(tmp_path)
    person.write("profiles/two.toml", 'description = "t"\npackages = ["torch"]\n')
    person.write("desk.json", machine_json("12.0", driver="580.95.05", cuda="13.0"))
    with IndexServer() as index:
        index.add(torch_wheel("2.9.1", "cu128", tag="cp313-cp313-manylinux_2_28_x86_64"), folder="cu128")
        here = (*where(index, "two"), "--machine", "desk.json")
        assert person.run("lock", *here).code == 0
        assert "options" not in read(person, "two")["tool"]["gpuenv"]["inputs"]
        index.add(torch_wheel("2.9.1", "cu128", tag="cp312-cp312-manylinux_2_28_x86_64"), folder="cu128")
        checked = person.run("lock", *here, "--check", "--refresh")
        assert checked.code == 0, checked.err


def test_a_gpu_that_was_left_out_of_the_lock_is_left_out_of_its_check(person: Person, index: IndexServer) -> None:
    """The old card has no code in the newest build: whoever leaves it out of the lock leaves it out of the check."""
    person.write("mixed.json", machine_json("12.0", "3.5", driver="580.95.05", cuda="13.0"))
    assert lock(person, index, "--machine", "mixed.json", "--gpu", "0").code == 0
    held = lock(person, index, "--machine", "mixed.json", "--gpu", "0", "--check")
    assert held.code == 0, held.err
    checked = lock(person, index, "--machine", "mixed.json", "--check", "--json")
    assert checked.code == 1
    assert [each["kind"] for each in checked.json["data"]["locks"][0]["reasons"]] == ["machine"]


def test_a_requirements_file_with_hashes_that_pip_and_uv_install(person: Person, index: IndexServer) -> None:
    run = lock(person, index, "--machine", "desk.json", "--format", "requirements")
    assert run.code == 0, run.err
    path = person.project / "lockfiles/requirements.any.txt"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert len(lines) == len(versions(read(person, "any")))
    assert all(re.search(r" @ http://127\.0\.0\.1.* --hash=sha256:[0-9a-f]{64}$", line) for line in lines)
    uv = str(find_uv(os.environ).path)
    environ = {"PATH": os.environ["PATH"], "HOME": str(person.home), "UV_CACHE_DIR": str(person.home / "uv")}
    for words in (
        ["venv", "-q", "--python", sys.executable, "env"],
        ["pip", "install", "-q", "--no-deps", "--require-hashes", "--python", "env", "-r", str(path)],
    ):
        subprocess.run([uv, *words], cwd=person.project, env=environ, check=True, capture_output=True)
    assert len(list(person.project.glob("env/lib/python*/site-packages/*.dist-info"))) == len(lines)


def test_a_single_source_takes_dependencies_from_the_torch_index_alone(person: Person, index: IndexServer) -> None:
    for name, version in (("filelock", "3.13.1"), ("numpy", "2.1.2"), ("einops", "0.6.0")):
        index.add(build_wheel(name, version))
    asked = len(index.log)
    run = lock(person, index, "--machine", "desk.json", "--single-source")
    assert run.code == 0, run.err
    document = read(person, "any")
    assert versions(document) | {"filelock": "3.13.1", "numpy": "2.1.2", "einops": "0.6.0"} == versions(document)
    assert all(package["wheels"][0]["url"].startswith(index.torch_index) for package in document["packages"])
    assert not [each.path for each in index.log[asked:] if each.path.startswith("/simple")]
    assert document["tool"]["gpuenv"]["decision"]["single-source"] is True
    assert lock(person, index, "--machine", "desk.json", "--check").code == 0

    page = f"{index.torch_index}/einops/"  # of the same host: all the rest still comes from there
    named = lock(person, index, "--machine", "desk.json", "--single-source", "--upgrade", "--find-links", page)
    assert named.code == 0, named.err

    index.remove("einops-0.6.0-py3-none-any.whl")
    lacking = lock(person, index, "--machine", "desk.json", "--single-source", "--upgrade", "--refresh")
    assert lacking.code in (3, 6)
    assert "einops" in lacking.err


@pytest.mark.parametrize(
    "damaged", [b"x = [", b"\xff\xfe", b'lock-version = "1.0"\n'], ids=["no-toml", "no-text", "foreign"]
)
@pytest.mark.parametrize("words", [(), ("--check",)], ids=["lock", "check"])
def test_a_lock_that_cannot_be_read_is_made_again_by_the_hint(
    damaged: bytes, words: tuple[str, ...], person: Person, index: IndexServer
) -> None:
    path = person.project / "lockfiles/pylock.any.toml"
    path.parent.mkdir()
    path.write_bytes(damaged)
    here = (*where(index, "any")[2:], "--machine", "new.json", "--python", PYTHON)
    refused = person.run("lock", "--profile", "any", *here, *words)
    assert refused.code == 2, refused.err
    (hint,) = re.findall(r"hint: .*`gpuenv (lock [^`]+)`", refused.err)
    assert path.read_bytes() == damaged
    made = person.run(*hint.split(), *here)
    assert made.code == 0, made.err
    assert read(person, "any")["tool"]["gpuenv"]["decision"]["torch"].startswith("2.9.1")


def recorded(lock: Path) -> list[str]:
    return list(tomllib.loads(lock.read_text("utf-8"))["tool"]["gpuenv"]["inputs"]["options"])


def test_what_a_lock_was_made_for_stands_in_it_and_holds_until_something_else_is_asked_for(tmp_path: Path) -> None:
    """`--check`, `--upgrade`, a second `create` and the command in a hint go by the lock."""
    person = Person.at(tmp_path)
    person.write("profiles/team.toml", 'description = "two channels"\naccelerator = "cpu"\npackages = ["torch"]\n')
    with IndexServer() as server:
        add_night(server, "20260101")
        server.add(torch_wheel("2.9.1", "cpu", tag=TAG, requires=("filelock",)), folder="cpu")
        server.add_package(build_wheel("filelock", "3.19.0"))
        here = where(server)
        assert person.run("lock", "--channel", "nightly", "--variant", "cpu", *here).code == 0
        lock = person.project / "lockfiles/pylock.team.toml"
        assert recorded(lock) == ["--channel nightly", "--variant cpu"]

        checked = person.run("lock", "--check", *here)
        assert checked.code == 0, checked.err
        assert person.run("create", "--no-verify", *here).code == 0
        upgraded = person.run("lock", "--upgrade", *here)
        assert upgraded.code == 0, upgraded.err
        assert "As the lock was made: --channel nightly --variant cpu" in upgraded.err
        assert "2.11.0.dev20260101" in lock.read_text("utf-8")

        add_night(server, "20260102")
        outdated = person.run("lock", "--check", "--refresh", *here)
        assert outdated.code == 1
        (hint,) = re.findall(r"`gpuenv ([^`]+)`", outdated.err)
        shown = person.run(*shlex.split(hint))
        assert shown.code == 0, shown.err
        assert "2.11.0.dev20260102" in shown.out + shown.err

        stable = person.run("lock", "--upgrade", "--channel", "stable", *here)
        assert stable.code == 0, stable.err
        assert recorded(lock) == ["--channel stable", "--variant cpu"]
        assert "2.9.1+cpu" in lock.read_text("utf-8")


def test_nothing_is_locked_with_a_torch_whose_requirements_cannot_be_read(person: Person, index: IndexServer) -> None:
    """The tables know what a family needs of torch. Taken for all of it, they would give a lock without the rest."""
    index.fault("/whl/cu128/torch-2.9.1", Fault(status=403))
    done = lock(person, index, "--machine", "old.json")
    assert done.code in (3, 4), done.err
    assert "torch-2.9.1" in done.err
    assert not (person.project / "lockfiles").exists()
    index.heal()
    done = lock(person, index, "--machine", "old.json")
    assert done.code == 0, done.err
    assert {"filelock", "triton", "numpy"} <= {package["name"] for package in read(person, "any")["packages"]}


def test_a_newer_torch_is_named_with_the_command_that_takes_it_unless_the_lock_was_pinned(
    person: Person, index: IndexServer
) -> None:
    settings = {"GPUENV_TORCH_INDEX": index.torch_index, "GPUENV_INDEX": index.default_index, "GPUENV_PYTHON": PYTHON}
    settings |= {"GPUENV_PROFILE": "any", "GPUENV_MACHINE": "old.json", "GPUENV_REFRESH": "1"}
    assert person.run("lock", **settings).code == 0
    said = person.run("create", "--no-verify", "--dry-run", **settings)
    hint = re.search(r"came out on [0-9-]+, see `gpuenv ([^`]+)`", said.err)
    assert hint, said.err
    newer = torch_wheel("2.10.0", "cu128", tag=TAG, requires=["filelock", "triton==3.5.1"])
    index.add(newer, folder="cu128")
    index.add(build_wheel("torchvision", "0.25.0+cu128", tag=TAG, requires=["torch==2.10.0", "numpy"]), folder="cu128")
    shown = person.run(*shlex.split(hint[1]), **settings)
    assert shown.code == 0, shown.err
    assert "2.10.0" in shown.out + shown.err
    assert person.run("lock", "--upgrade", "--torch", "==2.9.1", **settings).code == 0
    pinned = person.run("create", "--no-verify", "--dry-run", **settings)
    assert "Using lockfile" in pinned.err
    assert "came out" not in pinned.err
