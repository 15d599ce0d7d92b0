"""Laws of the decision, each quoted above the test that holds it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.version import Version

from gpuenv.knowledge import load
from gpuenv.knowledge.rules import compare_versions
from gpuenv.model.decision import Decision, NoDecision, Question
from gpuenv.model.wheel import Catalog, Wheel, WheelContents
from gpuenv.select.candidates import label
from gpuenv.select.evaluation import filter_wheels
from gpuenv.select.prepare import prepare
from gpuenv.select.present import decision_to_json, explain
from gpuenv.select.settle import settle
from gpuenv.select.verdicts import Verdicts
from support.choosing import catalog, machine, profile, request, wheel
from support.offers import (
    CAPABILITIES,
    DRIVERS,
    TORCH,
    VERSIONS,
    answer,
    offers,
    runs_natively,
)

FAMILY = profile(packages=("torch", "torchvision"), channel="stable")

laws = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


capabilities = st.lists(st.sampled_from(CAPABILITIES), min_size=1, max_size=3)
drivers = st.sampled_from(DRIVERS)


def accepted(said: Decision | NoDecision) -> set[tuple[str, str]]:
    if isinstance(said, NoDecision):
        return set()
    return {(row.candidate, row.python) for row in said.accepted if row.candidate.startswith("torch ")}


def text(said: Decision | NoDecision) -> str:
    shown = decision_to_json(said) if isinstance(said, Decision) else {"summary": said.summary}
    return json.dumps([shown, explain(said)], ensure_ascii=False)


@laws
@given(offers(), capabilities, drivers)
def test_the_chosen_wheel_has_code_for_every_gpu_and_a_driver_that_runs_it(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> None:
    """ "The chosen wheel has code for every GPU in scope and a driver that runs it." """
    said = answer(machine(*gpus, driver=driver), offer)
    if isinstance(said, NoDecision):
        return
    inside = offer[1][said.packages[0].url]
    assert len(said.gpus) == len(gpus)
    for gpu in said.gpus:
        native = runs_natively(str(gpu.compute_capability), inside.sass or ())
        assert (gpu.support == "native") is native
        assert gpu.by in ((inside.sass if native else inside.ptx) or ())
    floor = load().driver_floor(said.variant, "linux")
    assert floor is not None
    assert compare_versions(driver, floor.minimum) >= 0
    if any(gpu.support == "ptx" for gpu in said.gpus):
        assert said.driver is not None
        assert said.driver.full


@laws
@given(offers(), capabilities, drivers)
def test_every_wheel_gets_exactly_one_verdict(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> None:
    """ "Every wheel gets exactly one verdict", counted candidate by candidate; a refusal says why."""
    said = answer(machine(*gpus, driver=driver), offer, FAMILY)
    verdicts = Counter[str]()
    for row in said.rejected:
        verdicts[row.candidate] += row.wheels
        assert row.detail
    if isinstance(said, Decision):
        verdicts.update(row.candidate for row in said.accepted)
    assert verdicts == Counter(label(each) for each in offer[0].wheels)


@laws
@given(offers(), capabilities, drivers, st.randoms(use_true_random=False))
def test_order_of_pages_and_files_does_not_matter(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str, chance: random.Random
) -> None:
    """ "Order of pages and files does not matter": the answer is the same, byte for byte."""
    wheels = list(offer[0].wheels)
    chance.shuffle(wheels)
    facts = dict(chance.sample(sorted(offer[1].items(), key=lambda item: item[0]), len(offer[1])))
    on = machine(*gpus, driver=driver)
    assert text(answer(on, offer, FAMILY)) == text(answer(on, (catalog(wheels + wheels[:3]), facts), FAMILY))


@laws
@given(offers(), capabilities, drivers, drivers)
def test_a_newer_driver_never_loses_a_candidate(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], one: str, other: str
) -> None:
    """ "A newer driver never loses a candidate." """
    older, newer = sorted((one, other), key=lambda driver: [int(part) for part in driver.split(".")])
    before = accepted(answer(machine(*gpus, driver=older), offer))
    assert before <= accepted(answer(machine(*gpus, driver=newer), offer))


@laws
@given(offers(), capabilities, st.sampled_from(CAPABILITIES), drivers)
def test_adding_a_gpu_never_adds_a_candidate(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], more: str, driver: str
) -> None:
    """ "Adding a GPU never adds one." """
    few = accepted(answer(machine(*gpus, driver=driver), offer))
    assert accepted(answer(machine(*gpus, more, driver=driver), offer)) <= few


@laws
@given(offers(), capabilities, drivers)
def test_narrowing_to_one_gpu_is_a_machine_with_that_gpu(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> None:
    """``--gpu N``: the GPUs out of scope do not count."""
    on = machine(*gpus, driver=driver)
    alone = replace(on, gpus=on.gpus[-1:])
    assert accepted(answer(on, offer, gpus=(len(gpus) - 1,))) == accepted(answer(alone, offer))


@laws
@given(offers(), capabilities, drivers)
def test_the_order_of_preference_is_kept(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> None:
    """ "Native SASS on all GPUs before PTX; newest torch; then the newest variant the driver fully supports before one
    that needs minor-version compatibility." """
    said = answer(machine(*gpus, driver=driver), offer)
    if isinstance(said, NoDecision):
        return
    keys = [(not native, _negative(version), not full) for native, version, full in _merits(said, offer, gpus, driver)]
    assert keys == sorted(keys)


def _merits(
    said: Decision, offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> Iterator[tuple[bool, Version, bool]]:
    """Of each accepted torch, best first: native on all GPUs, release, known to the driver."""
    inside = {label(each): offer[1][each.url] for each in offer[0].wheels if each.project == "torch"}
    knows = Version(load().driver_cuda(driver, "linux") or "0")
    for row in said.accepted:
        project, _, version = row.candidate.partition(" ")
        if project == "torch":
            contents = inside[row.candidate]
            native = all(runs_natively(each, contents.sass or ()) for each in gpus)
            yield native, Version(Version(version).public), knows >= Version(contents.cuda or "0")


def _negative(version: Version) -> tuple[int, ...]:
    return tuple(-part for part in version.release)


@laws
@given(offers(), capabilities, drivers)
def test_the_family_is_one_decision(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> None:
    """ "All from one variant and one channel, mutually consistent by their own metadata." """
    said = answer(machine(*gpus, driver=driver), offer, FAMILY)
    if isinstance(said, NoDecision):
        return
    torch, vision = said.packages
    assert (torch.project, vision.project) == ("torch", "torchvision")
    assert (torch.variant, torch.channel, torch.source) == (vision.variant, vision.channel, vision.source)
    (pin,) = offer[1][vision.url].requires_dist or ()
    assert Requirement(pin).specifier.contains(torch.version)


@st.composite
def unnamed(draw: st.DrawFn) -> tuple[Catalog, dict[str, WheelContents]]:
    """A package index, where no name tells a build: torch, torchvision and torchaudio of several CUDA versions."""
    wheels: list[Wheel] = []
    facts: dict[str, WheelContents] = {}
    for version in draw(st.lists(st.sampled_from(VERSIONS), min_size=1, unique=True)):
        for project, number in (("torch", version), ("torchvision", f"90.{version[2]}.0"), ("torchaudio", version)):
            cuda = draw(st.sampled_from(["12.6", "12.8", "13.0", "13.2", "" if project != "torch" else "13.0", None]))
            made = wheel(project, number, source="package-index")
            wheels.append(made)
            requires = () if project != "torchvision" else (f"torch>={draw(st.sampled_from(VERSIONS))}",)
            inside = WheelContents(cuda=cuda or ("12.8" if project == "torch" else cuda), requires_dist=requires)
            facts[made.url] = replace(inside, sass=("sm_90",), ptx=()) if project == "torch" else inside
    return catalog(wheels), facts


@laws
@given(unnamed(), st.sampled_from(DRIVERS[-4:]), st.booleans())
def test_no_family_is_of_several_builds(
    offer: tuple[Catalog, dict[str, WheelContents]], driver: str, required: bool
) -> None:
    """ "A companion's CUDA is what it checks at import: torchaudio major.minor, torchvision the major", and known."""
    names = ("torchvision", "torchaudio")
    wish = profile(packages=("torch", *names)) if required else profile(optional_packages=names)

    def read(question: Question) -> WheelContents:
        return offer[1][question.wheel.url]

    said, _ = settle(machine("9.0", driver=driver), wish, offer[0], {}, request(), load(), read=read)
    if isinstance(said, NoDecision):
        return
    torch = offer[1][said.packages[0].url].cuda or ""
    for member in said.packages[1:]:
        own = offer[1][member.url].cuda
        assert own
        parts = 1 if member.project == "torchvision" else 2
        assert own.split(".")[:parts] == torch.split(".")[:parts]


@laws
@given(offers(), capabilities, drivers)
def test_reading_only_what_is_needed_decides_as_reading_everything(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> None:
    """Unread wheels are asked for one by one; the choice is that of full knowledge, and no question is put twice."""
    asked: list[Question] = []

    def read(question: Question) -> WheelContents:
        asked.append(question)
        return offer[1][question.wheel.url]

    on = machine(*gpus, driver=driver)
    lazy, _ = settle(on, FAMILY, offer[0], {}, request(most_reads=1000), load(), read=read)
    full = answer(on, offer, FAMILY)
    assert len({(each.wheel.url, each.about) for each in asked}) == len(asked)
    assert type(lazy) is type(full)
    if isinstance(lazy, Decision) and isinstance(full, Decision):
        assert _worth(lazy) == _worth(full)


def _worth(said: Decision) -> tuple[str, ...]:
    return (said.python, said.variant, *(each.url for each in said.packages))


@pytest.mark.parametrize("wish", [TORCH, FAMILY], ids=["torch", "family"])
@laws
@given(offer=offers(), gpus=capabilities, driver=drivers)
def test_the_same_question_has_the_same_answer(
    wish: object, offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> None:
    """ "Same inputs, same answer, byte for byte." """
    on = machine(*gpus, driver=driver)
    assert text(answer(on, offer, wish)) == text(answer(on, offer, wish))


@given(offers(), capabilities, drivers)
@laws
def test_the_rows_of_a_refusal_count_every_wheel_by_its_own_reason(
    offer: tuple[Catalog, dict[str, WheelContents]], gpus: list[str], driver: str
) -> None:
    """Every wheel is counted once, under the name of its candidate and the reason that it was refused for."""
    problem = prepare(machine(*gpus, driver=driver), FAMILY, request(), load())
    filtered = filter_wheels(problem, offer[0])
    rows = Verdicts(filtered.refused).rejected()
    counted = Counter((label(each), refusal.reason) for each, refusal in filtered.refused)
    assert {(row.candidate, row.reason): row.wheels for row in rows} == counted
    by_row: dict[tuple[str, str], set[str]] = {}
    for each, refusal in filtered.refused:
        by_row.setdefault((label(each), refusal.reason), set()).add(refusal.detail)
    assert all(row.detail == "; ".join(sorted(by_row[row.candidate, row.reason])) for row in rows)
