"""`inspect` of a wheel on the disk, of one elsewhere, and of an environment: libraries, their cost, nothing unasked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.cli.verbs.inspect import text
from gpuenv.commands import inspect
from gpuenv.report import Silent
from gpuenv.steps.context import Context, Options
from support.cli import Person
from support.fatbins import image
from support.index_server import IndexServer
from support.libraries import elf_library
from support.wheels import BuiltWheel, build_wheel

STABLE = elf_library(
    needed=["libcudart.so.13", "libc.so.6"],
    undefined=["torch_call_dispatcher", "aoti_torch_empty_strided", "PyObject_Call"],
    versions={"libc.so.6": ["GLIBC_2.34"]},
    code=[image("sass", 90, suffix="a"), image("ptx", 120, isa=(9, 0))],
)
BOUND = elf_library(undefined=["_ZN3c1013MessageLoggerC1EPKcii", "PyObject_Call"], relocatable=[image("sass", 80)])
WHEEL = build_wheel(
    "companion",
    "1.0",
    files={
        "companion/_C.abi3.so": STABLE,
        "companion/old.cpython-310-x86_64-linux-gnu.so": BOUND,
        "companion.libs/libz-1a2b3c4d.so": elf_library(needed=["libc.so.6"]),
    },
)


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as running:
        yield running


def installed(folder: Path, wheel: BuiltWheel) -> Path:
    """An environment with a wheel in it, as an installer lays it out."""
    import io
    import zipfile

    environment = folder / "env"
    site = environment / "lib" / "python3.12" / "site-packages"
    site.mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text("home = /nowhere\nversion = 3.12.1\n")
    with zipfile.ZipFile(io.BytesIO(wheel.body)) as archive:
        archive.extractall(site)
    return environment


def check(libraries: list[dict[str, object]]) -> None:
    told = {each["path"].rpartition("site-packages/")[2]: each for each in libraries}  # type: ignore[attr-defined]  # JSON
    stable = told["companion/_C.abi3.so"]
    assert (stable["sass"], stable["ptx"], stable["ptx_cuda"]) == (["sm_90a"], ["compute_120"], "13.0")
    assert (stable["cuda_major"], stable["binding"], stable["python"], stable["glibc"]) == (
        13,
        "stable",
        "abi3",
        "2.34",
    )
    assert stable["torch"]["lowest"] == "2.10"  # type: ignore[index]  # JSON
    assert stable["torch"]["lacks"] == {"2.9": ["torch_call_dispatcher"]}  # type: ignore[index]  # JSON
    bound = told["companion/old.cpython-310-x86_64-linux-gnu.so"]
    assert (bound["binding"], bound["python"], bound["relocatable"]) == ("bound", "cpython-310", ["sm_80"])
    assert bound["torch"]["highest_known"] == "2.9"  # type: ignore[index]  # JSON
    assert told["companion.libs/libz-1a2b3c4d.so"]["vendored"] is True


def test_a_wheel_from_path_and_address_and_an_environment_tell_the_same(tmp_path: Path, server: IndexServer) -> None:
    person = Person.at(tmp_path)
    path = WHEEL.write(person.project)
    url = server.add(WHEEL, folder="cu130")
    for place in (path.name, url):
        data = person.run("inspect", place, "--json").json["data"]
        check(data["libraries"])
        assert data["seconds"] >= 0
        assert (data["bytes"] > 0) is (place == url)
    environment = installed(person.project, WHEEL)
    data = person.run("inspect", environment.name, "--json").json["data"]
    assert [each["project"] for each in data["packages"]] == ["companion"]
    check(data["packages"][0]["libraries"])
    assert data["bytes"] == sum(each["size"] for each in data["packages"][0]["libraries"])


def test_what_a_person_reads(tmp_path: Path) -> None:
    person = Person.at(tmp_path)
    run = person.run("inspect", WHEEL.write(person.project).name)
    assert "  library   companion/_C.abi3.so\n" in run.out
    assert "sm_90a, PTX compute_120 (made by CUDA 13.0); CUDA 13; 2 of torch's stable interface, all in" in run.out
    assert "torch 2.9 lacks torch_call_dispatcher; Python: abi3; glibc 2.34" in run.out
    assert (
        "for a linker only: sm_80; 1 of torch's C++ symbols, all in torch 2.9 alone; torch 2.10 lacks _ZN3c10"
        in run.out
    )
    assert "  libraries 1 others, 1 of them copies of other projects'" in run.out
    twin = build_wheel("companion", "2.0", files={"companion/a.py": b""}).write(person.project)
    assert "libraries none: this package holds no compiled code" in person.run("inspect", twin.name).out


def test_a_large_download_waits_to_be_asked_for(
    tmp_path: Path, server: IndexServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "UNASKED", 100_000)
    code = elf_library(code=[image("sass", 80, size=300_000, fill=os.urandom(4096))])
    url = server.add(build_wheel("companion", "1.0", files={"companion/_C.so": code}), folder="cu130")
    places = {name: tmp_path / name for name in ("project", "state", "cache", "config")}
    context = Context(environ={}, reporter=Silent(), options=Options(), **places)
    found = inspect.run(context, location=url)
    assert isinstance(found, inspect.InspectOutcome)
    assert found.package is None
    assert found.libraries.unpacked == len(code)
    assert any(line.startswith("  libraries not read: 0 MB to download") for line in text(found))
    assert server.sent() < 200_000
    found = inspect.run(context, location=url, libraries=True)
    assert isinstance(found, inspect.InspectOutcome)
    assert found.package is not None
    assert [each.sass for each in found.package.libraries] == [("sm_80",)]


def test_a_folder_that_is_nothing_is_refused(tmp_path: Path) -> None:
    person = Person.at(tmp_path)
    run = person.run("inspect", ".")
    assert run.code == 2
    assert "there is no wheel at " in run.err
    assert "is not an environment" in run.err
