"""The committed locks hold only what PyTorch's index listed, with the hashes it stated.

`make lock-check` makes them anew and compares.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from gpuenv import knowledge, profile
from gpuenv.lock.codec import parse
from gpuenv.lock.fit import fits_machine
from gpuenv.lock.making import profile_digest
from gpuenv.lock.model import Lock
from gpuenv.machine.file import parse_machine
from gpuenv.net.location import host_of
from gpuenv.select.request import Request, fits
from gpuenv.system.files import read_text

ROOT = Path(__file__).resolve().parents[3]
#: Those that are committed: `make create` writes `auto` for whatever machine it runs on, and git ignores it.
LOCKS = sorted(path for path in (ROOT / "lockfiles").glob("pylock.*.toml") if path.name != "pylock.auto.toml")
NAMES = [path.name.split(".")[1] for path in LOCKS]
MACHINES = sorted((ROOT / "lockfiles" / "machines").glob("*.json"))

pytestmark = pytest.mark.xdist_group("recorded-index")


@pytest.fixture(name="tool", scope="module")
def fixture_tool() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import lock_recorded

        yield lock_recorded
    finally:
        sys.path.remove(str(ROOT / "tools"))


def read(name: str) -> Lock:
    path = ROOT / "lockfiles" / f"pylock.{name}.toml"
    return parse(path.read_text(encoding="utf-8"), origin=path.name)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_a_row_of_pytorchs_index(tool: ModuleType, name: str) -> None:
    lock = read(name)
    assert tool.audit(lock, name, recorded=lock.inputs.snapshot == tool.recorded_snapshot()) == []
    assert {host_of(package.url or "") for package in lock.packages} <= knowledge.load().pytorch_hosts
    assert lock.decision.single_source
    assert {"torch", "torchvision", "torchaudio", "sympy", "mpmath", "numpy"} <= lock.by_name.keys()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_the_profiles_and_fits_its_machine(name: str) -> None:
    lock, tables = read(name), knowledge.load()
    wish = profile.load(name, project=ROOT, user=ROOT / "nowhere", read=read_text)
    machine = parse_machine((ROOT / f"lockfiles/machines/{name}.json").read_text(encoding="utf-8"), origin=name)
    assert lock.inputs.profile_digest == profile_digest(wish)
    assert fits_machine(lock, machine, tables) is None
    assert f"--machine lockfiles/machines/{name}.json --single-source" in lock.command
    if name != "cpu":
        other = replace(machine, gpus=())
        assert fits_machine(lock, other, tables) is not None


@pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)
def test_a_reference_machine_has_every_gpu_of_its_profile(path: Path) -> None:
    """But those that exist beside an Arm processor only; m40 is the one machine that it began with."""
    machine = parse_machine(path.read_text(encoding="utf-8"), origin=path.name)
    wish = profile.load(path.stem, project=ROOT, user=ROOT / "nowhere", read=read_text)
    assert fits(wish, machine, Request(pythons=("3.12",)), knowledge.load()) is None
    majors = {capability.major for capability in wish.compute_capabilities}
    assert {gpu.compute_capability.major for gpu in machine.gpus} == ({12} if path.stem == "m40" else majors - {11})
    assert (machine.os, machine.arch, machine.libc) == ("linux", "x86_64", "glibc 2.28")


def test_the_readme_names_what_there_is() -> None:
    text = (ROOT / "lockfiles/README.md").read_text(encoding="utf-8").partition("<!-- locks: end -->")[0]
    assert sorted(re.findall(r"\]\(pylock\.(\w+)\.toml\)", text)) == NAMES
    missing = {path.stem for path in MACHINES} - set(NAMES)
    assert set(re.findall(r"^- \*\*([a-z0-9]+)\*\*", text, re.MULTILINE)) == missing


def test_what_is_proven_is_a_row_with_its_stated_hash(tool: ModuleType) -> None:
    rows = {row.key: row for row in tool._stable_rows()}
    entries = json.loads((ROOT / "tests/data/index/proven.json").read_text(encoding="utf-8"))
    assert len(entries) > 30
    for entry in entries:
        row = rows[entry["key"]]
        assert row.listed_hash
        assert row.sha256 == entry["sha256"]


def test_another_file_another_host_and_another_hash_are_seen(tool: ModuleType) -> None:
    """The control of the first test."""
    lock = read("hopper")
    torch = lock.by_name["torch"]
    for wrong in (
        replace(torch, sha256="0" * 64),
        replace(torch, url=str(torch.url).replace("download.pytorch.org", "download.example.org")),
        replace(torch, url=str(torch.url).replace("cp312-cp312", "cp399-cp399")),
        replace(torch, hash_origin="first-download"),
    ):
        packages = tuple(wrong if each.name == "torch" else each for each in lock.packages)
        assert len(tool.audit(replace(lock, packages=packages), "hopper", recorded=True)) == 1


def test_a_lock_of_the_live_index_is_held_to_its_hosts_and_its_profile(tool: ModuleType) -> None:
    lock = read("hopper")
    torch = lock.by_name["torch"]
    newer = replace(torch, sha256="0" * 64, url=str(torch.url).replace("2.6.0", "9.9.9"))
    packages = tuple(newer if each.name == "torch" else each for each in lock.packages)
    assert tool.audit(replace(lock, packages=packages), "hopper", recorded=False) == []
    assert len(tool.audit(replace(lock, packages=packages), "hopper", recorded=True)) == 1
    registry = replace(lock.by_name["numpy"], url="https://files.example/numpy-2.1.2-py3-none-any.whl")
    packages = tuple(registry if each.name == "numpy" else each for each in lock.packages)
    assert len(tool.audit(replace(lock, packages=packages), "hopper", recorded=False)) == 1
    changed = replace(lock, inputs=replace(lock.inputs, profile_digest="0" * 64))
    assert "the profile hopper changed" in tool.audit(changed, "hopper", recorded=False)[0]
