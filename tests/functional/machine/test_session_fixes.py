"""What a session's variables do is undone by the command that the doctor shows: a shell runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import examine
from gpuenv.doctor.finding import Finding
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.doctor.session import diagnose_session
from gpuenv.installed.environment import read_environment
from gpuenv.machine.cuda import check_up
from support.detection import look
from support.environments import Environment
from support.fake_nvml import FakeGpu, FakeMachine
from support.trees import Tree

DRIVER = "580.95.05"
CARDS = ("GPU-aaaaaaaa-0000-4000-8000-000000000000", "GPU-bbbbbbbb-0000-4000-8000-000000000000")
KNOWN = knowledge.load()
Stage = Callable[[Path], dict[str, str]]


def library(version: str, folder: str = "compat") -> Stage:
    """A libcuda of another version first on the loader's path."""

    def stage(room: Path) -> dict[str, str]:
        made, place = room / "made", room / folder
        FakeMachine(libcuda=version).environ(made)
        place.mkdir(parents=True)
        (made / f"libcuda.so.{version}").rename(place / f"libcuda.so.{version}")
        if version != "1":
            (place / "libcuda.so.1").symlink_to(f"libcuda.so.{version}")
        return {"LD_LIBRARY_PATH": f"{place}:{room / 'driver'}"}

    return stage


def system_cuda(variable: str) -> Stage:
    def stage(room: Path) -> dict[str, str]:
        (room / "cuda").mkdir()
        (room / "cuda/libcudnn.so.8").touch()
        named = room / "cuda/libcudnn.so.8" if variable == "LD_PRELOAD" else room / "cuda"
        beside = "" if variable == "LD_PRELOAD" else f":{room / 'driver'}"
        return {variable: f"{named}{beside}"}

    return stage


def toolkit(variable: str) -> Stage:
    def stage(room: Path) -> dict[str, str]:
        (room / "version.json").write_text('{"cuda": {"version": "11.8"}}')
        return {variable: str(room)}

    return stage


def said(**variables: str) -> Stage:
    return lambda room: variables


CASES: list[tuple[str, Stage]] = [
    ("libcuda-older", library("565.57.01")),
    ("libcuda-newer", library("590.10.01")),
    ("libcuda-stub", library("1", "lib64/stubs")),
    ("loader-path", system_cuda("LD_LIBRARY_PATH")),
    ("loader-path", system_cuda("LD_PRELOAD")),
    ("variable", said(PYTHONPATH="/opt/old")),
    ("variable", said(PYTHONHOME="/opt/python")),
    ("variable", said(BNB_CUDA_VERSION="124")),
    ("variable", said(CUDA_LAUNCH_BLOCKING="1", CUDA_FORCE_PTX_JIT="1")),
    ("variable", said(CUDA_DISABLE_PTX_JIT="1", CUDA_CACHE_DISABLE="1", PYTORCH_NVML_BASED_CUDA_CHECK="1")),
    ("compile-cache", said(CUDA_CACHE_PATH="/dev/null/no such folder")),
    ("mask-hides-all", said(CUDA_VISIBLE_DEVICES="")),
    ("mask-hides-all", said(CUDA_VISIBLE_DEVICES="7")),
    ("mask-hides-some", said(CUDA_VISIBLE_DEVICES="1")),
    ("toolkit", toolkit("CUDA_HOME")),
    ("toolkit", toolkit("CUDA_PATH")),
]


def wrong(tree: Tree, environ: dict[str, str], environment: Path) -> list[Finding]:
    detection = look(tree, environ)
    checkup = check_up(detection, environ=environ, root=tree.root)
    examination = examine(
        read_environment(environment), environ=environ, machine=detection.machine, shown=environment.name
    )
    found = [
        *diagnose_machine(detection, knowledge=KNOWN, environ=environ, checkup=checkup),
        *diagnose_session(environ),
        *diagnose_environment(examination, knowledge=KNOWN),
    ]
    return [each for each in found if each.severity != "ok"]


def after(command: str, environ: dict[str, str]) -> dict[str, str]:
    """The variables of a shell in which a command was typed."""
    done = subprocess.run(
        ["/bin/bash", "--norc", "-ec", f"{command}\n/usr/bin/env -0"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    rows = (row.partition("=") for row in done.stdout.split("\0") if row)
    return {name: value for name, _, value in rows if name not in ("_", "SHLVL", "PWD")}


@pytest.mark.parametrize(("kind", "stage"), CASES, ids=[f"{kind}-{number}" for number, (kind, _) in enumerate(CASES)])
def test_the_fix_of_a_session_fixes_it(kind: str, stage: Stage, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root").bus().pci("0000:01:00.0", device="0x2335", driver="nvidia").module(DRIVER).nodes()
    gpus = tuple(FakeGpu(name="NVIDIA H200", capability=(9, 0), uuid=uuid) for uuid in CARDS)
    sound = FakeMachine(gpus=gpus, driver=DRIVER, cuda=13000, libcuda=DRIVER).environ(tmp_path / "driver")
    sound |= {"CC": "/bin/sh", "PATH": str(tmp_path / "driver")}
    env = Environment(tmp_path / ".venv").torch("2.10.0+cu130", cuda="13.0", archs=("90",))
    assert wrong(tree, sound, env.path) == []
    environ = sound | stage(tmp_path)
    found = wrong(tree, environ, env.path)
    assert found

    while found:
        assert {each.kind for each in found} == {kind}
        assert all(not each.by for each in found)
        environ = after(found[0].fix, environ)
        left = wrong(tree, environ, env.path)
        assert len(left) < len(found), found[0].fix
        found = left

    changed = {name for name in sound if environ.get(name) != sound[name]}
    assert changed <= {"LD_LIBRARY_PATH"} if kind.startswith("libcuda") else not changed
