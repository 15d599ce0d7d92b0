"""Laws of ``check``, each quoted above the test that holds it."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpuenv.knowledge import load
from gpuenv.knowledge.rules import Code, compare_versions
from gpuenv.model.decision import Decision
from gpuenv.model.wheel import Catalog, WheelContents
from gpuenv.project.judge import judge
from gpuenv.project.pins import Pin, PinnedFile
from gpuenv.project.requirements_file import FilePlace
from gpuenv.project.verdicts import FAILS, Bench
from support.choosing import machine
from support.offers import CAPABILITIES, DRIVERS, answer, offers, runs_natively

laws = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
HERE = FilePlace(file="pylock.toml", line=1)
gpu_lists = st.lists(st.sampled_from(CAPABILITIES), min_size=1, max_size=3)
drivers = st.sampled_from(DRIVERS)


@laws
@given(offers(), gpu_lists, drivers)
def test_what_was_decided_for_a_machine_runs_there_as_was_decided(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> None:
    """ "The verdict on a lock of our own is that of the decision it was made by." """
    here = machine(*gpus, driver=driver)
    said = answer(here, offer)
    if not isinstance(said, Decision):
        return
    torch = said.packages[0]
    pin = Pin(name="torch", version=torch.version, place=HERE, wheels=(PinnedFile(url=torch.url),))
    bench = Bench(machine=here, python=said.python, knowledge=load(), facts=offer[1])
    (row,) = judge([pin], bench)
    supports = {gpu.support for gpu in said.gpus}
    assert row.verdict.word == ("ptx" if "ptx" in supports else "native")
    assert row.verdict.by in {gpu.by for gpu in said.gpus}


BUILDS = sorted({(torch, variant) for torch, variant, platform in load().kernels if platform == "linux_x86_64"})


@laws
@given(st.sampled_from(BUILDS), gpu_lists, drivers)
def test_a_verdict_says_no_more_than_its_facts(build: tuple[str, str], gpus: list[str], driver: str) -> None:
    """ "Native has machine code for every GPU, PTX none for one, and a driver too old is below its floor." """
    torch, variant = build
    here = machine(*gpus, driver=driver)
    pin = Pin(name="torch", version=f"{torch}+{variant}", place=HERE)
    (row,) = judge([pin], Bench(machine=here, python="3.12", knowledge=load(), facts={}))
    code = load().kernels[torch, variant, "linux_x86_64"]
    native = [runs_natively(each, code.sass) for each in gpus]
    floor = load().driver_floor(variant, "linux")
    assert floor is not None
    match row.verdict.word:
        case "native":
            assert all(native)
            assert row.verdict.by in code.sass
        case "ptx":
            assert not all(native)
            assert row.verdict.by in code.ptx
        case "driver":
            assert compare_versions(driver, floor.minimum) < 0
        case "no-code":
            assert not all(native) or any(Code.parse(each) is None for each in code.sass) or code.cudnn
        case word:
            raise AssertionError(word)
    assert (row.verdict.word == "driver") is (compare_versions(driver, floor.minimum) < 0)
    assert row.verdict.word not in FAILS or row.verdict.detail


@laws
@given(st.sampled_from(BUILDS), gpu_lists, st.sampled_from(CAPABILITIES))
def test_another_gpu_makes_nothing_better(build: tuple[str, str], gpus: list[str], more: str) -> None:
    """ "Every GPU counts: with one more, what did not run does not run either." """
    pin = Pin(name="torch", version="+".join(build), place=HERE)

    def fails(capabilities: list[str]) -> bool:
        bench = Bench(machine=machine(*capabilities), python="3.12", knowledge=load(), facts={})
        return judge([pin], bench)[0].verdict.word in FAILS

    assert fails([*gpus, more]) or not fails(gpus)
