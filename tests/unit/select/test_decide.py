"""Parts of the decision that no scenario shows: what is handed on, how often is asked, what is said of duplicates."""

from __future__ import annotations

import pytest

from gpuenv.errors import UsageError
from gpuenv.knowledge import load
from gpuenv.model.decision import Decision, NoDecision, Question, Questions
from gpuenv.model.wheel import Catalog, WheelContents
from gpuenv.select.candidates import nightly_day
from gpuenv.select.decide import decide
from gpuenv.select.settle import settle
from support.choosing import answer, catalog, machine, profile, read_recorded, recorded, request, wheel

H100 = machine("9.0", driver="580.95.05")
FAMILY = profile(packages=("torch", "torchvision", "numpy>=2"), channel="stable")
CODE = WheelContents(cuda="13.0", sass=("sm_90",), ptx=())


def test_requirements_and_other_packages_are_handed_on() -> None:
    said = answer(H100, FAMILY, recorded("2026-03-15", channels=("stable",)))
    assert isinstance(said, Decision)
    assert said.others == ("numpy>=2",)
    assert not said.requires, "a table knows the family alone: a lock made from it would lack everything else"


def test_questions_name_only_the_best_candidate() -> None:
    offer = catalog(
        [wheel("torch", "9.1.0+cu130"), wheel("torch", "9.0.0+cu130"), wheel("torchvision", "90.1.0+cu130")]
    )
    said = decide(H100, FAMILY, offer, {}, request(), load())
    assert said == Questions(items=(Question(wheel=offer.wheels[0], about="kernels"),))
    facts = {offer.wheels[0].url: CODE}
    said = decide(H100, FAMILY, offer, facts, request(), load())
    assert said == Questions(items=(Question(wheel=offer.wheels[2], about="metadata"),))


def test_a_companion_that_is_not_there_spares_the_reading() -> None:
    offer = catalog([wheel("torch", "9.1.0+cu130")])
    said = decide(H100, FAMILY, offer, {}, request(), load())
    assert isinstance(said, NoDecision)


def test_a_wheel_of_another_python_answers_for_its_build() -> None:
    tags = ("cp311-cp311-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_28_x86_64")
    other, mine = (wheel("torch", "9.1.0+cu130", tag=tag) for tag in tags)
    said = decide(H100, profile(), catalog([other, mine]), {other.url: CODE}, request(pythons=("3.12",)), load())
    assert isinstance(said, Decision)
    assert said.packages == (mine,)


def test_the_file_of_another_folder_does_not_answer_for_it() -> None:
    """The same file name stands in several folders with different bytes: the identity of a wheel is its URL."""
    tag = "cp312-cp312-manylinux_2_28_aarch64"
    one, two = (wheel("torch", "9.1.0", tag=tag, variant=variant) for variant in ("cu130", "cu132"))
    assert one.filename == two.filename
    gh200 = machine("9.0", driver="595.71.05", arch="aarch64")
    said = decide(gh200, profile(), catalog([one, two]), {one.url: CODE}, request(), load())
    assert said == Questions(items=(Question(wheel=two, about="kernels"),))


def test_a_row_with_a_hash_goes_before_its_duplicate_without() -> None:
    bare = wheel("torch", "2.10.0+cu130")
    hashed = wheel("torch", "2.10.0+cu130", sha256="0" * 64)
    for rows in ([bare, hashed], [hashed, bare]):
        said = decide(H100, profile(), catalog(rows), {}, request(), load())
        assert isinstance(said, Decision)
        assert said.packages[0].sha256 == "0" * 64
        assert len(said.accepted) == 1


def test_table_and_wheel_never_disagree_in_silence() -> None:
    torch = wheel("torch", "2.10.0+cu130")
    said = decide(H100, profile(), catalog([torch]), {torch.url: CODE}, request(), load())
    assert isinstance(said, Decision)
    assert said.kernels is not None
    assert said.kernels.origin == "wheel"
    assert any("the tables of this gpuenv say otherwise" in text for text in said.warnings)


def test_reading_ends_after_a_while() -> None:
    days = [f"203001{day:02}" for day in range(1, 29)]
    offer = catalog([wheel("torch", f"9.1.0.dev{day}+cu130", channel="nightly") for day in days])
    asked: list[Question] = []

    def read(question: Question) -> WheelContents:
        asked.append(question)
        return WheelContents(cuda="13.0", sass=("sm_75",), ptx=())

    said, _ = settle(H100, profile(channel="nightly"), offer, {}, request(most_reads=5), load(), read=read)
    assert isinstance(said, NoDecision)
    assert len(asked) == 5
    assert "no wheel in the nightly channel has code for sm_90" in said.summary
    assert "23 older were not read" in said.summary
    unread = [row for row in said.rejected if row.reason == "unknown-kernels"]
    assert sum(row.wheels for row in unread) == 23


def test_a_reading_that_does_not_answer_is_not_repeated() -> None:
    offer = catalog([wheel("torch", "9.1.0+cu130")])
    asked: list[Question] = []

    def read(question: Question) -> WheelContents:
        asked.append(question)
        return WheelContents(cuda="13.0")

    said, _ = settle(H100, profile(channel="stable"), offer, {}, request(), load(), read=read)
    assert len(asked) == 1
    assert isinstance(said, NoDecision)
    assert "does not tell its kernels" in said.rejected[0].detail


def test_nightlies_are_loaded_once_and_only_when_wanted() -> None:
    stable, nightly = wheel("torch", "2.6.0+cu126"), wheel("torch", "9.1.0.dev20300102+cu130", channel="nightly")
    loads: list[str] = []

    def load_nightly(_: NoDecision) -> Catalog:
        loads.append("nightly")
        return catalog([stable])

    blackwell = machine("12.0", driver="580.95.05")
    for on, times in ((H100, 0), (blackwell, 1)):
        loads.clear()
        settle(on, profile(), catalog([stable]), {}, request(), load(), read=read_recorded, nightly=load_nightly)
        assert len(loads) == times
    offered = decide(blackwell, profile(), catalog([stable]), {}, request(), load())
    assert isinstance(offered, NoDecision)
    assert offered.wants_nightly
    both = decide(blackwell, profile(), catalog([stable, nightly]), {}, request(), load())
    assert both == Questions(items=(Question(wheel=nightly, about="kernels"),))


def test_ptx_is_taken_after_nightlies_were_looked_at_in_vain() -> None:
    torch = wheel("torch", "9.1.0+cu130")
    facts = {torch.url: WheelContents(cuda="13.0", sass=("sm_90",), ptx=("compute_120",))}
    gb10 = machine("12.1", driver="580.95.05")
    first = decide(gb10, profile(), catalog([torch]), facts, request(), load())
    assert isinstance(first, NoDecision)
    assert first.wants_nightly
    second = decide(gb10, profile(), catalog([torch]), facts, request(nightly_offered=True), load())
    assert isinstance(second, Decision)
    assert second.gpus[0].support == "ptx"


def test_yanked_unless_pinned() -> None:
    offer = catalog([wheel("torch", "2.14.0+cu130", yanked="broken"), wheel("torch", "2.13.0+cu130")])
    free = decide(H100, profile(), offer, {}, request(), load())
    pinned = decide(H100, profile(), offer, {}, request(torch="==2.14.0"), load())
    assert isinstance(free, Decision)
    assert isinstance(pinned, Decision)
    assert free.packages[0].version == "2.13.0+cu130"
    assert [(row.reason, row.detail) for row in free.rejected] == [("yanked", "broken")]
    assert "torch 2.14.0+cu130 was yanked: broken" in pinned.warnings


def test_hash_only_on_demand() -> None:
    offer = catalog([wheel("torch", "2.14.0+cu130"), wheel("torch", "2.13.0+cu130", sha256="0" * 64)])
    strict = decide(H100, profile(), offer, {}, request(require_hash=True), load())
    assert isinstance(strict, Decision)
    assert strict.packages[0].version == "2.13.0+cu130"
    assert strict.rejected[0].reason == "hash"


def test_no_upload_time_is_unknown_age() -> None:
    offer = catalog(
        [wheel("torch", "2.14.0+cu130"), wheel("torch", "2.13.0+cu130", upload_time="2026-07-08T10:00:00Z")]
    )
    said = decide(H100, profile(), offer, {}, request(exclude_newer="2026-07-08"), load())
    assert isinstance(said, Decision)
    assert said.packages[0].version == "2.13.0+cu130"
    assert said.rejected[0].reason == "too-new"


def test_a_wish_that_is_no_version_range_is_the_users_mistake() -> None:
    with pytest.raises(UsageError, match="is not a version range"):
        decide(H100, profile(), catalog([]), {}, request(torch=">=two"), load())


def test_nothing_offered() -> None:
    said = decide(H100, profile(), catalog([]), {}, request(), load())
    assert isinstance(said, NoDecision)
    assert said.summary == "no source offers a torch wheel"


def test_a_profile_that_allows_no_interpreter_at_hand_says_so() -> None:
    wish = profile(python="==3.12.*", channel="stable")
    said = decide(H100, wish, catalog([wheel("torch", "2.14.0+cu130")]), {}, request(pythons=("3.11",)), load())
    assert isinstance(said, NoDecision)
    assert said.summary == "the profile wants Python ==3.12.*, and the interpreters to choose from are 3.11"


def test_a_platform_without_torch_is_refused_not_a_crash() -> None:
    on = machine("8.9", driver="580.97", os="windows", arch="aarch64")
    folder = wheel("torch", "9.0.0", tag="cp312-cp312-win_arm64", source="find-links")
    offer = catalog([folder, wheel("torch", "2.14.0+cu130", tag="cp312-cp312-win_amd64")])
    facts = {folder.url: WheelContents(cuda="13.0", sass=("sm_90",), ptx=())}
    said = decide(on, profile(channel="stable"), offer, facts, request(), load())
    assert isinstance(said, NoDecision)
    assert "no wheel has code for sm_89" in said.summary


def test_a_wheel_whose_python_cannot_be_read_is_rejected() -> None:
    """What cannot be established is not compatible; the other wheel of the release is taken."""
    broken, other = wheel("torch", "9.1.0+cu130", requires_python=">=3."), wheel("torch", "9.0.0+cu130")
    said = decide(H100, profile(), catalog([broken, other]), {other.url: CODE}, request(), load())
    assert isinstance(said, Decision)
    assert said.packages == (other,)
    assert [row.reason for row in said.rejected if row.version == "9.1.0+cu130"] == ["python"]


def test_tags_of_several_pythons_are_offered_one_by_one() -> None:
    old = wheel("torch", "9.1.0+cu130", tag="cp38.cp39-none-manylinux_2_28_x86_64")
    said = decide(H100, profile(), catalog([old]), {}, request(pythons=("3.12",)), load())
    assert isinstance(said, NoDecision)
    assert "there are wheels for Python 3.8 and 3.9" in said.causes


@pytest.mark.parametrize("day", ["20260231", "20261301"])
def test_a_nightly_of_no_day_is_no_nightly_of_a_day(day: str) -> None:
    assert nightly_day(f"9.1.0.dev{day}+cu130") is None
