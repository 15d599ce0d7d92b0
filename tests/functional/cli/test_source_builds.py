"""Packages that are built from their source for the torch that was chosen: only when named, and once."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.environment.source_build import find_isolation
from support.cli import Person, command
from support.fake_nvml import H200, FakeMachine
from support.fatbins import image
from support.index_server import IndexServer
from support.libraries import elf_library
from support.nights import PYTHON, TAG
from support.sources import source_archive
from support.wheels import build_wheel, torch_wheel


@pytest.fixture
def torch_index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        for variant in ("cpu", "cu130"):
            server.add(torch_wheel("2.12.0", variant, tag=TAG, requires=["filelock"]), folder=variant)
        yield server


@pytest.fixture
def package_index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        for name in ("filelock", "packaging", "ninja", "psutil", "wheel"):
            server.add_package(build_wheel(name, "3.19.0"))
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch", "fast-op"]\n')
    return person


def words(torch_index: IndexServer, package_index: IndexServer) -> tuple[str, ...]:
    return (
        "--profile", "team", "--python", PYTHON,
        "--torch-index", torch_index.torch_index, "--index", package_index.default_index,
    )  # fmt: skip


def test_it_is_built_beside_torch_locked_by_its_hash_and_built_once(
    person: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    """The wheel says which torch it saw; the second lock takes it from the store, and `create` installs it."""
    mark = tmp_path / "ran"
    package_index.add_package(source_archive("fast-op", "1.0", mark=str(mark), requires=["filelock"]))
    where = words(torch_index, package_index)
    planned = person.run("resolve", "--build", "fast-op", *where)
    assert planned.code == 0, planned.err
    assert "fast-op 1.0" in planned.out
    assert "is built from fast_op-1.0.tar.gz for torch 2.12.0+cpu when it is locked" in planned.out
    assert not mark.exists()
    run = person.run("create", "--no-verify", "--build", "fast-op", *where)
    assert run.code == 0, run.err
    assert mark.exists()
    told = next(person.project.glob(".venv-gpu/lib/python*/site-packages/fast_op/__init__.py")).read_text("utf-8")
    assert "'torch': '2.12.0+cpu'" in told
    text = (person.project / "lockfiles/pylock.team.toml").read_text("utf-8")
    assert '"--build fast-op"' in text
    assert "fast-op 1.0 " in text
    assert "was built here from fast_op-1.0.tar.gz for torch 2.12.0+cpu" in text
    mark.unlink()
    again = person.run("lock", "--upgrade", *where)
    assert again.code == 0, again.err
    assert "Taking fast_op-1.0-py3-none-any.whl, which was built here before" in again.err
    assert not mark.exists()
    assert (person.project / "lockfiles/pylock.team.toml").read_text("utf-8") == text
    assert person.run("lock", "--check", *where).code == 0
    assert not [*person.home.glob(".cache/gpuenv/builds/*")]


def test_without_being_named_nothing_of_it_runs_and_the_command_that_is_shown_works(
    person: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    package_index.add_package(source_archive("fast-op", "1.0", mark=str(mark)))
    where = words(torch_index, package_index)
    run = person.run("lock", *where, COLUMNS="400")
    assert run.code == 6, run.err
    assert not mark.exists()
    assert "--build fast-op`" in run.err
    command = next(line.split("`")[-2] for line in run.err.splitlines() if "--build fast-op`" in line)
    done = person.run(*command.split()[1:])
    assert done.code == 0, done.err
    assert mark.exists()


def test_what_would_be_downloaded_in_a_build_is_not(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    if not find_isolation(person.world()["PATH"]).prefix:
        pytest.skip("this system cuts no program off from the network")
    package_index.add_package(source_archive("fast-op", "1.0", fetch=package_index.default_index))
    run = person.run("lock", "--build", "fast-op", *words(torch_index, package_index), COLUMNS="400")
    assert run.code == 6, run.err
    assert "error: the build of fast-op 1.0 wanted to download something" in run.err
    assert "it is cut off from the network" in run.err
    assert not (person.project / "lockfiles/pylock.team.toml").exists()
    assert not [*person.home.rglob("fast_op*")]


def test_a_build_that_fails_says_its_last_words_and_leaves_nothing(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    package_index.add_package(source_archive("fast-op", "1.0", fail="no such template"))
    run = person.run(
        "lock",
        "--build",
        "fast-op",
        *words(torch_index, package_index),
        COLUMNS="400",
    )
    assert run.code == 6, run.err
    assert "error: the build of fast-op 1.0 failed" in run.err
    assert "no such template" in run.err
    assert not [*person.home.rglob("fast_op*")]


def test_a_name_that_nobody_asks_for_and_one_of_the_family(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    where = words(torch_index, package_index)
    run = person.run("resolve", "--build", "other-op", *where)
    assert run.code == 2, run.err
    assert "neither profile nor project asks for it" in run.err
    assert person.run("resolve", "--build", "torchvision", *where).code == 2


def test_no_archive_with_a_hash(person: Person, torch_index: IndexServer, package_index: IndexServer) -> None:
    run = person.run("lock", "--build", "fast-op", *words(torch_index, package_index), COLUMNS="400")
    assert run.code == 3, run.err
    assert "fast-op: no place that was asked has source of it with a hash" in run.err
    told = json.loads(person.run("lock", "--json", "--build", "fast-op", *words(torch_index, package_index)).out)
    assert told["errors"][0]["code"] == "no-fitting-wheel"


def test_a_kill_in_the_middle_leaves_nothing_and_the_next_build_is_whole(
    person: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    mark, go = tmp_path / "ran", tmp_path / "go"
    package_index.add_package(source_archive("fast-op", "1.0", mark=str(mark), wait=str(go)))
    typed = ("lock", "--build", "fast-op", *words(torch_index, package_index))
    killed = subprocess.Popen(
        command(*typed), cwd=person.project, env=person.world(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not mark.exists():
            assert killed.poll() is None
            time.sleep(0.02)
    finally:
        killed.kill()
        killed.wait()
    if "--pid" in find_isolation(person.world()["PATH"]).prefix:  # what the build started is ended with gpuenv
        while busy := [each for each in Path("/proc").glob("[0-9]*/cmdline") if str(person.home) in command_line(each)]:
            assert busy
            time.sleep(0.02)
    assert not [*person.home.rglob("fast_op*.whl")]
    assert not [*person.home.rglob("built/*.json")]
    go.touch()
    run = person.run(*typed)
    assert run.code == 0, run.err
    assert not [*person.home.glob(".cache/gpuenv/builds/*")]
    assert len([*person.home.rglob("fast_op*.whl")]) == 1


def command_line(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_bytes().decode(errors="replace")
    return ""


@pytest.fixture
def of_cuda(person: Person, tmp_path: Path) -> Person:
    """Somebody with an H200, who has no CUDA toolkit and asks for a package with code for it."""
    person.write("profiles/team.toml", 'description = "t"\npackages = ["torch", "flash-attn"]\n')
    machine = FakeMachine(gpus=(H200,), driver="580.95.05", cuda=13000).environ(tmp_path / "driver")
    machine["PATH"] = os.environ["PATH"]
    return replace(person, environ={**machine, "CUDA_HOME": str(tmp_path / "none")})


def toolkit(folder: Path, release: str) -> Path:
    """A CUDA toolkit whose compiler says its version and nothing else."""
    program = folder / "bin/nvcc"
    program.parent.mkdir(parents=True)
    (folder / "include").mkdir()
    program.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.88'\n", "utf-8")
    program.chmod(0o755)
    return folder


def compiled(*code: int) -> Mapping[str, bytes]:
    """The files of a source with code for GPUs, and the library that its build is said to make of it."""
    library = elf_library(needed=["libcudart.so.13"], code=[image("sass", each) for each in code])
    return {"csrc/op.cu": b"// code", "libraries/op.so": library}


def test_what_compiles_is_looked_for_before_anything_runs(
    of_cuda: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    """No nvcc; one of another CUDA major; then the one that the hint asks for, and the cards of this machine."""
    mark = tmp_path / "ran"
    package_index.add_package(source_archive("flash-attn", "2.9.0", mark=str(mark), files=compiled(90)))
    typed = ("lock", "--build", "flash-attn", *words(torch_index, package_index))
    none = of_cuda.run(*typed, COLUMNS="400")
    assert none.code == 3, none.err
    assert "error: flash-attn 2.9.0 is compiled by nvcc, and there is none" in none.err
    assert "`CUDA_HOME=/path/to/cuda gpuenv lock --build flash-attn " in none.err
    other = of_cuda.run(*typed, CUDA_HOME=str(toolkit(tmp_path / "older", "12.8")), COLUMNS="400")
    assert other.code == 3, other.err
    assert "is to be built for torch of CUDA 13.0, and nvcc is of CUDA 12.8" in other.err
    assert not mark.exists()
    run = of_cuda.run(*typed, CUDA_HOME=str(toolkit(tmp_path / "right", "13.0")), MAX_JOBS="3", COLUMNS="400")
    assert run.code == 0, run.err
    assert mark.exists()
    switches = "FLASH_ATTENTION_FORCE_BUILD=TRUE FLASH_ATTN_CUDA_ARCHS=90 TORCH_CUDA_ARCH_LIST=9.0"
    assert switches in run.err
    assert "MAX_JOBS=3" in run.err


def test_what_was_built_without_code_for_the_card_is_not_kept(
    of_cuda: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    package_index.add_package(source_archive("flash-attn", "2.9.0", files=compiled(80)))
    cuda = str(toolkit(tmp_path / "cuda", "13.0"))
    run = of_cuda.run(
        "lock", "--build", "flash-attn", *words(torch_index, package_index), CUDA_HOME=cuda, COLUMNS="400"
    )
    assert run.code == 3, run.err
    assert "what was built does not run beside torch: flash-attn 2.9.0 has no code for sm_90" in run.err
    assert not [*of_cuda.home.rglob("flash_attn*.whl")]


def test_a_companion_without_a_wheel_is_refused_with_the_command_that_builds_it(
    of_cuda: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    package_index.add_package(source_archive("flash-attn", "2.9.0", files=compiled(90)))
    cuda = str(toolkit(tmp_path / "cuda", "13.0"))
    run = of_cuda.run("lock", *words(torch_index, package_index), CUDA_HOME=cuda, COLUMNS="400")
    assert run.code == 3, run.err
    assert "flash-attn: no wheel anywhere that was asked" in run.err
    shown = next(line.split("`")[-2] for line in run.err.splitlines() if "--build flash-attn`" in line)
    assert of_cuda.run(*shown.split()[1:], CUDA_HOME=cuda).code == 0


def test_what_no_build_would_help_is_not_offered(
    of_cuda: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    """flash-attn is written for Ampere and newer: on a Turing card its source is no way out."""
    package_index.add_package(source_archive("flash-attn", "2.9.0", files=compiled(75)))
    turing = FakeMachine(gpus=(replace(H200, name="Tesla T4", capability=(7, 5)),), driver="580.95.05", cuda=13000)
    run = of_cuda.run("lock", *words(torch_index, package_index), **turing.told())
    assert run.code == 3, run.err
    assert "--build" not in run.err


def test_a_name_that_is_somebody_elses_on_the_index(
    person: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    """NVIDIA's apex is on no index, and what is called so there is built for nobody; an archive of one's own is."""
    mark = tmp_path / "ran"
    archive = source_archive("apex", "0.9", mark=str(mark))
    package_index.add_package(archive)
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch", "apex"]\n')
    where = words(torch_index, package_index)
    unnamed = person.run("lock", *where)
    assert unnamed.code != 0
    assert "--build apex" not in unnamed.err
    run = person.run("lock", "--build", "apex", *where, COLUMNS="400")
    assert run.code == 3, run.err
    assert "apex on PyPI is a toolkit for Pyramid" in run.err
    assert not mark.exists()
    archive.write(tmp_path / "own")
    assert person.run("lock", "--build", "apex", "--find-links", str(tmp_path / "own"), *where).code == 0
    assert mark.exists()


def test_a_lock_that_records_a_build_runs_none_on_another_machine(
    person: Person, torch_index: IndexServer, package_index: IndexServer, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    package_index.add_package(source_archive("fast-op", "1.0", mark=str(mark)))
    where = words(torch_index, package_index)
    assert person.run("lock", "--build", "fast-op", *where).code == 0
    mark.unlink()
    elsewhere = Person.at(tmp_path / "other")
    for name in ("profiles/team.toml", "lockfiles/pylock.team.toml"):
        elsewhere.write(name, (person.project / name).read_text("utf-8"))
    run = elsewhere.run("lock", "--upgrade", *where, COLUMNS="400")
    assert run.code == 2, run.err
    assert "the lock has fast-op built from its source, and that was not done on this machine yet" in run.err
    assert not mark.exists()
    shown = next(line.split("`")[-2] for line in run.err.splitlines() if "--build fast-op`" in line)
    assert elsewhere.run(*shown.split()[1:]).code == 0
    assert mark.exists()
    elsewhere.write("gpuenv.toml", 'build = ["fast-op"]\n')
    assert elsewhere.run("lock", *where).code == 2


def test_a_wheel_that_is_gone_is_built_again_by_the_command_that_is_shown(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    package_index.add_package(source_archive("fast-op", "1.0"))
    where = words(torch_index, package_index)
    assert person.run("lock", "--build", "fast-op", *where).code == 0
    for wheel in person.home.rglob("fast_op*.whl"):
        wheel.unlink()
    run = person.run("create", "--no-verify", *where, COLUMNS="400")
    assert run.code == 3, run.err
    assert "holds fast-op as built from source, and what was built is not here" in run.err
    shown = next(line.split("`")[-2] for line in run.err.splitlines() if "--build fast-op`" in line)
    again = person.run(*shown.split()[1:])
    assert again.code == 0, again.err
    assert "Building fast-op 1.0" in again.err
