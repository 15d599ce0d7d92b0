"""Companions of a profile, chosen with torch: what is shown, what is locked, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.knowledge.companion_facts import facts_by_name
from support.cli import Person, machine_json
from support.fatbins import image
from support.index_server import IndexServer
from support.libraries import elf_library
from support.nights import PYTHON, TAG
from support.wheels import BuiltWheel, build_wheel, torch_wheel

RELEASES = (("2.9.1", "cu128"), ("2.12.0", "cu126"), ("2.12.0", "cu130"))


@pytest.fixture
def torch_index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        for release, variant in RELEASES:
            server.add(torch_wheel(release, variant, tag=TAG, requires=["filelock"]), folder=variant)
        yield server


@pytest.fixture
def package_index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add_package(build_wheel("filelock", "3.19.0"))
        for version in ("1.26.0", "1.31.1"):
            server.add_package(build_wheel("onnxruntime-gpu", version, tag=TAG))
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.at(tmp_path)


def profile(person: Person, *packages: str, **more: str) -> None:
    names = ", ".join(f'"{name}"' for name in ("torch", *packages))
    person.write("profiles/team.toml", f'description = "t"\npackages = [{names}]\n')


def words(torch_index: IndexServer, package_index: IndexServer) -> tuple[str, ...]:
    return (
        "--profile", "team", "--machine", "machine.json", "--python", PYTHON,
        "--torch-index", torch_index.torch_index, "--index", package_index.default_index,
    )  # fmt: skip


def test_the_newest_release_of_torchs_cuda_is_taken_and_said(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """Trap 13: beside a torch of CUDA 12 the newest onnxruntime-gpu would be silently on the CPU."""
    profile(person, "onnxruntime-gpu")
    person.write("machine.json", machine_json("9.0", driver="570.124.06", cuda="12.8"))
    run = person.run("lock", *words(torch_index, package_index))
    assert run.code == 0, run.err
    text = (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8")
    assert 'name = "onnxruntime-gpu"\nversion = "1.26.0"' in text
    reason = "not a newer one: onnxruntime-gpu 1.31.1 needs the libraries of CUDA 13"
    assert reason in text
    shown = person.run("resolve", *words(torch_index, package_index))
    assert shown.code == 0, shown.err
    assert "onnxruntime-gpu 1.26.0" in shown.out
    assert reason in shown.out
    explained = person.run("resolve", "--about", "onnxruntime-gpu", *words(torch_index, package_index))
    assert "onnxruntime-gpu 1.31.1: " in explained.out
    told = person.run("resolve", "--json", *words(torch_index, package_index)).json["data"]
    assert [(each["name"], each["version"]) for each in told["companions"]] == [("onnxruntime-gpu", "1.26.0")]
    assert person.run("lock", "--check", *words(torch_index, package_index)).code == 0


def test_a_wheel_of_a_page_is_locked_by_its_address_and_decides_torch(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """Traps 8 and 9: flash-attn stands on no index; the one wheel there is goes with torch 2.9."""
    profile(person, "flash-attn")
    tag = TAG.replace("manylinux_2_28", "linux")
    found = build_wheel("flash_attn", "2.8.3+cu12torch2.9cxx11abiTRUE", tag=tag, requires=["torch"])
    folder = person.write("wheels/README", "of a colleague\n").parent
    (folder / found.filename).write_bytes(found.body)
    person.write("machine.json", machine_json("9.0", driver="580.95.05", cuda="13.0"))
    named = {"PIP_FIND_LINKS": str(folder), "PIP_INDEX_URL": package_index.default_index}
    run = person.run("lock", *words(torch_index, package_index)[:-2], COLUMNS="400", **named)
    assert run.code == 0, run.err
    text = (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8")
    assert found.sha256 in text
    assert 'torch = "2.9.1+cu128"' in text
    assert "flash-attn: no wheel for torch 2.12; " in text
    assert "without it, torch 2.12.0+cu130 would have been chosen." in text


def test_nothing_fits_and_the_command_that_helps_is_one_that_works(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    profile(person, "onnxruntime-gpu==1.31.1")
    person.write("machine.json", machine_json("9.0", driver="580.95.05", cuda="13.0"))
    run = person.run("resolve", "--torch", "==2.9.1", *words(torch_index, package_index), COLUMNS="400")
    assert run.code == 3, run.err
    assert "onnxruntime-gpu: no wheel for CUDA 12 beside torch 2.9.1+cu128" in run.err
    assert "Without --torch ==2.9.1, torch 2.12.0+cu130 and onnxruntime-gpu 1.31.1 go together" in run.err
    assert person.run("resolve", "--torch", "==2.12.0+cu130", *words(torch_index, package_index)).code == 0
    failed = json.loads(person.run("resolve", "--torch", "==2.9.1", "--json", *words(torch_index, package_index)).out)
    assert failed["exit_code"] == 3


def test_a_profile_without_companions_asks_for_nothing_more(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    profile(person)
    person.write("machine.json", machine_json("9.0", driver="580.95.05", cuda="13.0"))
    assert person.run("resolve", *words(torch_index, package_index)).code == 0
    assert package_index.log == []
    assert len(torch_index.pages()) == 1


def test_an_index_on_the_command_line_stands_alone(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """No page of the tables is asked beside it, and no release is offered."""
    profile(person, "flash-attn")
    person.write("machine.json", machine_json("9.0", driver="580.95.05", cuda="13.0"))
    run = person.run("resolve", *words(torch_index, package_index))
    assert run.code == 3, run.err
    assert "error: flash-attn: no wheel anywhere that was asked" in run.err
    assert "`--find-links DIR`" in run.err


def test_what_a_package_brings_along_is_judged_too(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """uv takes the newest of what a package needs, and knows nothing of CUDA majors."""
    package_index.add_package(build_wheel("app", "1.0", requires=["onnxruntime-gpu"]))
    profile(person, "app")
    person.write("machine.json", machine_json("9.0", driver="570.124.06", cuda="12.8"))
    run = person.run("lock", *words(torch_index, package_index), COLUMNS="400")
    assert run.code == 0, run.err
    text = (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8")
    assert 'name = "onnxruntime-gpu"\nversion = "1.26.0"' in text
    assert "passing onnxruntime-gpu 1.31.1 over" in run.err


class KnownFile(BuiltWheel):
    """A wheel that its page gives the hash of a real one, which the tables know; its body is never fetched."""

    @property
    def sha256(self) -> str:
        known = facts_by_name(self.filename)
        assert known is not None
        return known.sha256


def test_a_file_that_the_tables_know_may_stand_beside_pytorchs_torch(
    person: Person, torch_index: IndexServer, package_index: IndexServer
) -> None:
    """Rule 6: PyTorch's index has no xformers for cu128; PyPI's is of CUDA 12. A newer file is nobody's."""
    for version in ("0.0.35", "0.0.99"):
        built = build_wheel("xformers", version, tag="py39-none-manylinux_2_28_x86_64", requires=["torch"])
        known = version == "0.0.35"
        kept = KnownFile(filename=built.filename, body=built.body, metadata=built.metadata) if known else built
        package_index.add_package(kept)
    torch_index.add(torch_wheel("2.10.0", "cu128", tag=TAG, requires=["filelock"]), folder="cu128")
    profile(person, "xformers")
    person.write("machine.json", machine_json("9.0", driver="570.124.06", cuda="12.8"))
    typed = ("--variant", "cu128", *words(torch_index, package_index))
    run = person.run("lock", *typed, "-v")
    assert run.code == 0, run.err
    assert "xformers 0.0.35 comes from the package index, as the file that the tables know by its hash" in run.err
    text = (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8")
    assert 'torch = "2.10.0+cu128"' in text
    assert 'name = "xformers"\nversion = "0.0.35"' in text
    checked = person.run("lock", "--check", *typed)
    assert checked.code == 0, checked.out + checked.err
    forged = text.replace(known_hash("0.0.35"), "0" * 64)
    assert forged != text
    person.write("lockfiles/pylock.team.toml", forged)
    broken = person.run("create", "--no-verify", *typed)
    assert broken.code == 5, broken.err
    assert "is package-index, and torch's source is mirror" in broken.err


def known_hash(version: str) -> str:
    known = facts_by_name(f"xformers-{version}-py39-none-manylinux_2_28_x86_64.whl")
    assert known is not None
    return known.sha256


def test_a_small_wheel_is_read_once(person: Person, torch_index: IndexServer, package_index: IndexServer) -> None:
    """What its libraries say is kept between runs: the second fetches nothing of it."""
    library = elf_library(needed=["libcudart.so.13"], code=[image("sass", 90)])
    files = {"sgl_kernel/__init__.py": "", "sgl_kernel/ops.so": library}
    package_index.add_package(build_wheel("sgl-kernel", "9.9", tag=TAG, files=files))
    profile(person, "sgl-kernel")
    person.write("machine.json", machine_json("9.0", driver="580.95.05", cuda="13.0"))

    def fetched() -> int:
        return len([each for each in package_index.log if each.path.endswith(".whl")])

    first = person.run("resolve", *words(torch_index, package_index))
    assert first.code == 0, first.err
    assert "sgl-kernel 9.9" in first.out
    assert "runs natively by sm_90" in first.out
    read = fetched()
    assert read > 0
    again = person.run("resolve", *words(torch_index, package_index))
    assert again.out == first.out
    assert fetched() == read
