"""What people and networks do wrong: one clear error each, the right exit code, nothing left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, command, machine_json
from support.fake_nvml import FakeMachine
from support.index_server import LOGIN_PAGE, Fault, IndexServer
from support.wheels import build_wheel, torch_wheel

TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"


@pytest.fixture
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        tag = f"{TAG}-{TAG}-manylinux_2_28_x86_64"
        server.add(torch_wheel("2.10.0", "cpu", tag=tag, requires=["filelock"]), folder="cpu")
        server.add_package(build_wheel("filelock", "3.0"))
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.at(tmp_path)


def create(person: Person, index: IndexServer, *words: str, **environ: str):  # type: ignore[no-untyped-def] # a Run
    return person.run(
        "create", "--profile", "cpu", "--no-verify", "--torch-index", index.torch_index,
        "--index", index.default_index, *words, **environ,
    )  # fmt: skip


def test_the_whole_way_with_small_wheels(person: Person, index: IndexServer) -> None:
    """The control of this file: without a fault everything works."""
    run = create(person, index)
    assert run.code == 0, run.err
    assert run.err.splitlines()[0].startswith("No NVIDIA GPU in this machine: this is a CPU environment")
    assert (person.project / ".venv-gpu/bin/python").exists()
    assert (person.project / "lockfiles/pylock.cpu.toml").is_file()


def test_a_broken_driver_keeps_nobody_from_the_cpu(person: Person, index: IndexServer, tmp_path: Path) -> None:
    """The hint beside a broken driver, typed: whoever asks for the CPU by name needs no driver."""
    fake = FakeMachine(faults={"nvmlInitWithFlags": 18}).environ(tmp_path / "driver")
    library = {key: value for key, value in fake.items() if key != "PATH"}
    assert person.run("resolve", "--torch-index", index.torch_index, **library).code == 3
    run = create(person, index, **library)
    assert run.code == 0, run.err
    assert run.err.startswith("No NVIDIA GPU can be used (the driver's kernel module and its library differ")
    assert "this is a CPU environment (profile cpu asks for it)" in run.err.splitlines()[0]


def one_error(run, *, code: int, says: str) -> None:  # type: ignore[no-untyped-def] # a Run
    assert run.code == code, (run.code, run.out, run.err)
    assert says in run.err, run.err
    assert sum(line.startswith("error: ") for line in run.err.splitlines()) == 1
    assert "Traceback" not in run.err


def test_a_profile_with_an_unknown_key(person: Person, index: IndexServer) -> None:
    person.write("profiles/mine.toml", 'description = "x"\npackages = ["torch"]\nchanel = "stable"\n')
    run = person.run("create", "--profile", "mine", "--torch-index", index.torch_index)
    one_error(run, code=2, says="mine.toml:3: chanel: is not a key")
    assert "Did you mean `channel`?" in run.err
    assert index.log == []


def test_a_machine_file_with_a_missing_field(person: Person, index: IndexServer) -> None:
    machine = json.loads(machine_json("12.0"))
    del machine["gpus"][0]["compute_capability"]
    person.write("machine.json", json.dumps(machine))
    run = person.run("resolve", "--machine", "machine.json", "--torch-index", index.torch_index)
    one_error(run, code=2, says="gpus[0].compute_capability")
    assert index.log == []


def test_a_page_that_is_not_html(person: Person, index: IndexServer) -> None:
    index.fault("/whl/torch/", Fault(body=b"\x00\x01garbage"))
    one_error(create(person, index), code=4, says="/whl/torch/")
    assert not (person.project / "lockfiles").exists()


def test_a_login_page_is_never_remembered(person: Person, index: IndexServer) -> None:
    index.fault("/whl/torch/", Fault(body=LOGIN_PAGE, times=1))
    one_error(create(person, index), code=4, says="/whl/torch/")
    assert create(person, index).code == 0


@pytest.mark.parametrize("status", [401, 403, 404, 503])
def test_an_index_that_refuses(person: Person, index: IndexServer, status: int) -> None:
    index.fault("/whl/", Fault(status=status))
    run = create(person, index)
    one_error(run, code=4, says=str(status))
    assert person.files() <= {"lockfiles"}


def test_a_dead_proxy_is_named(person: Person, index: IndexServer) -> None:
    run = person.run(
        "resolve", "--profile", "cpu", "--torch-index", "http://torch.invalid/whl",
        HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9",
    )  # fmt: skip
    one_error(run, code=4, says="proxy http://127.0.0.1:9 does not answer")


def test_a_wheel_whose_hash_differs(person: Person, index: IndexServer) -> None:
    assert create(person, index).code == 0
    first = (person.project / ".venv-gpu/gpuenv.json").read_bytes()
    lock = person.project / "lockfiles/pylock.cpu.toml"
    text = lock.read_text(encoding="utf-8")
    good = next(line.split('sha256 = "')[1][:64] for line in text.splitlines() if "torch-2.10.0" in line)
    lock.write_text(text.replace(good, "0" * 64), encoding="utf-8")
    run = create(person, index)
    one_error(run, code=5, says="torch")
    assert (person.project / ".venv-gpu/gpuenv.json").read_bytes() == first


def test_a_lock_with_a_wrong_size(person: Person) -> None:
    """Of a wheel on the disk: of a download uv compares the hash alone, and that is right."""
    tag = f"{TAG}-{TAG}-manylinux_2_28_x86_64"
    wheels = person.project / "wheels"
    wheels.mkdir()
    for wheel in (torch_wheel("2.10.0", "cpu", tag=tag, requires=["filelock"]), build_wheel("filelock", "3.0")):
        (wheels / wheel.filename).write_bytes(wheel.body)
    words = ("create", "--profile", "cpu", "--no-verify", "--offline", "--find-links", "wheels")
    assert person.run(*words).code == 0
    first = (person.project / ".venv-gpu/gpuenv.json").read_bytes()
    lock = person.project / "lockfiles/pylock.cpu.toml"
    lock.write_text(re.sub(r"size = \d+", "size = 12345", lock.read_text(encoding="utf-8")), encoding="utf-8")
    run = person.run(*words, UV_CACHE_DIR=str(person.home / "other-cache"))
    one_error(run, code=5, says="not the file that was locked")
    assert (person.project / ".venv-gpu/gpuenv.json").read_bytes() == first


def test_a_truncated_wheel(person: Person, index: IndexServer) -> None:
    assert create(person, index).code == 0
    (person.project / ".venv-gpu").rename(person.project / "aside")
    index.fault("/whl/cpu/torch-2.10.0%2Bcpu", Fault(truncate=200))
    run = create(person, index, UV_CACHE_DIR=str(person.home / "other-cache"), UV_HTTP_RETRIES="0")
    assert run.code in (4, 5), run.err
    assert sum(line.startswith("error: ") for line in run.err.splitlines()) == 1
    assert not (person.project / ".venv-gpu").exists()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_target_that_is_not_an_environment_is_never_deleted(person: Person, index: IndexServer, kind: str) -> None:
    target = person.project / ".venv-gpu"
    if kind == "file":
        target.write_text("mine")
    else:
        target.mkdir()
        (target / "thesis.txt").write_text("mine")
    one_error(create(person, index), code=2, says=".venv-gpu")
    assert (target if kind == "file" else target / "thesis.txt").read_text() == "mine"


def test_no_uv(person: Person, index: IndexServer) -> None:
    one_error(create(person, index, "--uv", "/nowhere/uv"), code=6, says="/nowhere/uv")
    assert person.files() == set()


def test_a_python_without_wheels_for_the_family(person: Person, index: IndexServer) -> None:
    run = create(person, index, "--python", "3.8")
    one_error(run, code=3, says="3.8")
    assert not (person.project / ".venv-gpu").exists()


def test_a_full_disk(person: Person, index: IndexServer) -> None:
    """A small file system of its own; where this process may not mount one, the kernel's refusal is the reason."""
    target = person.project / "small"
    target.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
    try:
        one_error(create(person, index, "small/.venv-gpu"), code=3, says="small")
        assert list(target.iterdir()) == []
    finally:
        subprocess.run(["umount", str(target)], check=True)


def test_ctrl_c_during_the_build(person: Person, index: IndexServer) -> None:
    index.fault("/whl/cpu/torch-2.10.0%2Bcpu", Fault(stall=30, times=1))
    process = subprocess.Popen(
        [*command(
            "create", "--profile", "cpu", "--no-verify", "--torch-index", index.torch_index,
            "--index", index.default_index,
        )],
        cwd=person.project, env=person.world(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    wheel = "/whl/cpu/torch-2.10.0%2Bcpu"
    for _ in range(6000):
        asked = [row for row in index.log if row.path.startswith(wheel) and not row.path.endswith(".metadata")]
        stages = [path for path in person.project.iterdir() if path.name.startswith(".gpuenv-stage")]
        if stages or asked or process.poll() is not None:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert "interrupted" in err
    assert not (person.project / ".venv-gpu").exists()
    assert not [path for path in person.project.iterdir() if path.name.startswith(".gpuenv")]
