"""What a project's lines ask of torch, judged by the tables."""

from __future__ import annotations

import pytest

from gpuenv import knowledge
from gpuenv.machine.file import parse_machine
from gpuenv.model.asked import NamedBuild, Stated
from gpuenv.select.stated import excluding, judged, refused_build
from support.cli import machine_json

KNOWN = knowledge.load()


def line(text: str) -> Stated:
    return Stated(text=text, place="r.txt:1")


@pytest.mark.parametrize(
    ("text", "capability", "driver", "said"),
    [
        ("torch==2.0.1+cu118", "12.0", "580.95.05", "torch==2.0.1+cu118 has no code for sm_120; 2.7.0 is the first"),
        ("torch<2.7", "12.0", "580.95.05", "torch<2.7 has no code for sm_120; 2.7.0 is the first"),
        ("torch==2.9.1+cu128", "6.1", "580.95.05", "torch==2.9.1+cu128 has no code for sm_61; 2.9.1 in cu126 has"),
        ("torch==2.10.0+cu130", "9.0", "535.183.01", "torch==2.10.0+cu130 needs driver 580.65.06, found 535.183.01"),
        ("torch==2.9.1+cpu", "9.0", "580.95.05", "torch==2.9.1+cpu is a build for the CPU, and this machine has"),
        ("torch==2.9.1", "12.0", "580.95.05", ""),
        ("torch>=2.0", "12.0", "580.95.05", ""),
        ("torch", "12.0", "580.95.05", ""),
        ("torch==99.0", "12.0", "580.95.05", ""),
        ("torchvision==0.15.2", "12.0", "580.95.05", ""),
    ],
)
def test_a_line_is_judged_for_the_machine(text: str, capability: str, driver: str, said: str) -> None:
    machine = parse_machine(machine_json(capability, driver=driver, cuda="13.0"), origin="m")
    found = judged(line(text), machine, KNOWN)
    assert found.startswith(said)
    assert bool(found) is bool(said)


def test_a_build_for_the_cpu_is_not_followed_where_there_is_a_gpu() -> None:
    build = NamedBuild(variant="cpu", place="r.txt:1", text="x")
    gpu = parse_machine(machine_json("9.0", driver="580.95.05", cuda="13.0"), origin="m")
    none = parse_machine(machine_json(driver=None, cuda=None), origin="m")
    assert refused_build(build, gpu, KNOWN).startswith("is a build for the CPU, and this machine has")
    assert refused_build(build, none, KNOWN) == ""
    assert "no NVIDIA" in refused_build(NamedBuild(variant="cu126", place="r.txt:1", text="x"), none, KNOWN)


def test_lines_that_no_release_meets_together() -> None:
    one, other = line("torch==2.1.*"), line("torch>=2.9")
    assert excluding([line("torch"), one, line("numpy<2"), other], KNOWN) == (one, other)
    assert excluding([one, line("torch<2.9")], KNOWN) is None
    assert excluding([one, line("torch==99")], KNOWN) is None, "the tables do not know it"
