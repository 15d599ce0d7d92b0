"""CUDA asked in a child, through a stand-in for the driver's library: it starts, refuses, hangs or crashes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.doctor.finding import Finding
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.machine import cuda
from gpuenv.machine.cuda import check_up
from support.detection import look
from support.fake_nvml import H200, FakeGpu, FakeMachine
from support.trees import Tree

DRIVER = FakeMachine().driver


def wrong(tree: Tree, fake: FakeMachine, libraries: Path, *, timeout: float = 20.0) -> list[Finding]:
    environ = fake.environ(libraries)
    detection = look(tree, environ)
    checkup = check_up(detection, environ=environ, root=tree.root, timeout=timeout)
    findings = diagnose_machine(detection, knowledge=knowledge.load(), environ=environ, checkup=checkup)
    return [finding for finding in findings if finding.severity != "ok"]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "root").bus().pci(driver="nvidia").module(DRIVER).nodes()


def test_a_start_on_two_cards(tmp_path: Path) -> None:
    answer = cuda.ask(FakeMachine(gpus=(FakeGpu(), H200), libcuda=DRIVER).environ(tmp_path))

    assert (answer.ending, answer.init, answer.works) == ("answered", 0, True)
    assert answer.starts == ((FakeGpu().uuid, 0), (H200.uuid, 0))
    assert answer.library == str(tmp_path / f"libcuda.so.{DRIVER}")


def test_no_library_is_no_answer(tmp_path: Path) -> None:
    tmp_path.joinpath("libcuda.so.1").write_bytes(b"not a library")
    answer = cuda.ask({"PATH": "", "LD_LIBRARY_PATH": str(tmp_path)})

    assert (answer.ending, answer.init) == ("not-asked", None)
    assert answer.reason


@pytest.mark.parametrize(
    ("init", "says"),
    [(999, "often so after the machine slept"), ("abort", "crashes when it starts"), ("hang", "hangs when it starts")],
)
def test_a_start_that_fails(tree: Tree, tmp_path: Path, init: int | str, says: str) -> None:
    fake = FakeMachine(libcuda=DRIVER, init=init)
    (finding,) = wrong(tree, fake, tmp_path / "driver", timeout=1.5 if init == "hang" else 20.0)

    assert finding.severity == "error"
    assert says in finding.summary


def test_one_card_that_does_not_start_beside_one_that_does(tree: Tree, tmp_path: Path) -> None:
    """GPU 0 answers 999, GPU 1 works."""
    fake = FakeMachine(gpus=(replace(FakeGpu(), start=999), H200), libcuda=DRIVER)
    (finding,) = wrong(tree, fake, tmp_path / "driver")

    assert (finding.subject, finding.severity) == ("GPU 0", "error")
    assert "CUDA error 999" in finding.summary


@pytest.mark.parametrize(("version", "init", "says"), [("565.57.01", 803, "error 803"), ("590.10.01", 804, "compat")])
def test_a_library_of_another_driver_is_found_once(
    tree: Tree, tmp_path: Path, version: str, init: int, says: str
) -> None:
    (finding,) = wrong(tree, FakeMachine(libcuda=version, init=init), tmp_path / "driver")

    assert finding.severity == "error"
    assert says in finding.summary
    assert finding.fix == "unset LD_LIBRARY_PATH"


def test_a_stub_is_found_though_nvml_answers(tree: Tree, tmp_path: Path) -> None:
    libraries = tmp_path / "driver"
    fake = FakeMachine(libcuda="stub", init=34, faults={"nvmlSystemGetCudaDriverVersion_v2": 13}, cuda_known=12080)
    environ = fake.environ(libraries)
    stubs = tmp_path / "lib64/stubs"
    stubs.mkdir(parents=True)
    (libraries / "libcuda.so.1").unlink()
    (libraries / "libcuda.so.stub").rename(stubs / "libcuda.so")
    (stubs / "libcuda.so.1").symlink_to("libcuda.so")
    environ["LD_LIBRARY_PATH"] = f"{stubs}:{libraries}"
    detection = look(tree, environ)
    checkup = check_up(detection, environ=environ, root=tree.root)
    findings = diagnose_machine(detection, knowledge=knowledge.load(), environ=environ, checkup=checkup)
    (finding,) = [each for each in findings if each.severity != "ok"]

    assert "is a stub for linking" in finding.summary
    assert finding.fix == f"export LD_LIBRARY_PATH={libraries}"
