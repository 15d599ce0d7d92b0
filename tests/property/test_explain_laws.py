"""Laws of `resolve --explain`: every wheel is told once, each reason is so, and `--about` leaves out, no more.

The facts are checked by predicates written a second time, from the wheel's row and name alone.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from gpuenv.errors import UsageError
from gpuenv.knowledge import load
from gpuenv.model.decision import Decision, NoDecision
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.select.candidates import label
from gpuenv.select.decide import decide
from gpuenv.select.present import about, explain
from gpuenv.select.request import Request
from support.choosing import catalog, machine, profile, request, wheel

KNOWN = load()
VERSIONS = ("9.0.0", "9.1.0", "9.2.0", "9.3.0.dev20260102")
VARIANTS = ("cpu", "cu118", "cu126", "cu128", "cu130", "rocm6.4")
TAGS = (
    "cp312-cp312-manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_28_x86_64", "cp312-cp312t-manylinux_2_28_x86_64",
    "cp312-cp312-manylinux_2_28_aarch64", "cp312-cp312-win_amd64", "cp312-cp312-manylinux_2_40_x86_64",
)  # fmt: skip
CARDS = (("6.1",), ("7.0",), ("9.0",), ("12.0",), ("7.0", "12.0"), ())
DRIVERS = ("470.82.01", "535.104.05", "550.54.15", "570.124.06", "580.95.05")
CUTOFF = "2026-02-01"


@dataclass(frozen=True)
class World:
    """An offer with what is inside each wheel, and somebody who asks."""

    wheels: tuple[Wheel, ...]
    contents: dict[str, WheelContents]
    machine: Machine
    profile: Profile
    request: Request

    @property
    def cpu(self) -> bool:
        return self.profile.accelerator == "cpu" or not self.machine.gpus

    def answer(self) -> Decision | NoDecision:
        said = decide(self.machine, self.profile, catalog(self.wheels), self.contents, self.request, KNOWN)
        assert isinstance(said, Decision | NoDecision)
        return said


def worlds(count: int) -> Iterator[World]:
    chance = random.Random(11)
    for _ in range(count):
        cards = chance.choice(CARDS)
        wheels: dict[str, Wheel] = {}
        contents: dict[str, WheelContents] = {}
        for _ in range(chance.randint(1, 8)):
            version, variant, tag = chance.choice(VERSIONS), chance.choice(VARIANTS), chance.choice(TAGS)
            told = {
                "channel": "nightly" if "dev" in version else "stable",
                "tag": tag,
                "yanked": "broken" if chance.random() < 0.1 else None,
                "upload_time": chance.choice(("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", None)),
                "sha256": chance.choice(("0" * 64, None)),
                "requires_python": chance.choice((None, ">=3.10", "<3.12")),
            }
            codes = tuple(f"sm_{code}" for code in sorted(chance.sample((70, 75, 90, 120), k=2)))
            cuda = KNOWN.cuda_of(variant) or ""
            torch = wheel("torch", f"{version}+{variant}", **told)  # type: ignore[arg-type] # checked by the dataclass
            vision = wheel("torchvision", f"8{version}+{variant}", **told)  # type: ignore[arg-type] # likewise
            asked = chance.choice((version, version, "9.1.0"))
            wheels |= {torch.url: torch, vision.url: vision}
            contents[torch.url] = WheelContents(cuda=cuda, sass=codes if cuda else (), ptx=(), requires_dist=())
            contents[vision.url] = WheelContents(requires_dist=(f"torch=={asked}",))
        yield World(
            wheels=tuple(wheels.values()),
            contents=contents,
            machine=machine(*cards, driver=chance.choice(DRIVERS)),
            profile=profile(
                packages=chance.choice((("torch",), ("torch", "torchvision"))),
                accelerator=chance.choice(("auto", "auto", "cuda" if cards else "auto", "cpu")),
                channel=chance.choice(("stable", "nightly", "auto")),
            ),
            request=request(
                pythons=chance.choice((("3.12",), ("3.12", "3.11"))),
                torch=chance.choice((None, None, ">=9.1", "==9.2.0")),
                variant=chance.choice((None, None, None, "cu128", "cu126")),
                exclude_newer=chance.choice((None, None, CUTOFF)),
                require_hash=chance.random() < 0.2,
                exclude=chance.choice(((), (), ("torch==9.1.0",))),
                nightly_offered=True,
            ),
        )


WORLDS = list(worlds(150))


def groups(lines: tuple[str, ...]) -> dict[str, tuple[int, int, list[str]]]:
    """What is shown, by reason: the number of candidates and of wheels, and the lines."""
    found: dict[str, tuple[int, int, list[str]]] = {}
    rows: list[str] = []
    for line in lines:
        if head := re.fullmatch(r"([a-z-]+): .+ \((\d+) candidates, (\d+) wheels\)", line):
            assert head[1] not in found, "a group is shown twice"
            rows = []
            found[head[1]] = (int(head[2]), int(head[3]), rows)
        elif line.startswith("  "):
            rows.append(line)
    return found


@pytest.mark.parametrize("number", range(len(WORLDS)))
def test_every_candidate_is_told_once(number: int) -> None:
    world = WORLDS[number]
    said = world.answer()
    accepted = said.accepted if isinstance(said, Decision) else ()
    lines = explain(said)
    shown = groups(lines)

    # each wheel has one verdict: the numbers of the groups and of what is accepted are those of the offer
    told = Counter({row.candidate: 0 for row in said.rejected})
    for rejected in said.rejected:
        told[rejected.candidate] += rejected.wheels
    told.update(row.candidate for row in accepted)
    assert told == Counter(label(each) for each in world.wheels)
    assert sum(wheels for _, wheels, _ in shown.values()) + len(accepted) == len(world.wheels)
    # each refused candidate stands on one line of its group, and each group holds no other
    for reason, (candidates, _, rows) in shown.items():
        named = [
            f"{row.split()[0]} {version}"
            for row in rows
            for version in row.strip().partition(" ")[2].partition(": ")[0].split(", ")
        ]
        expected = [row.candidate for row in said.rejected if row.reason == reason]
        assert sorted(named) == sorted(expected)
        assert candidates == len(expected)
    # what is accepted stands in the list, torch by its place and what goes with it beside it
    listed = " ".join(line for line in lines if re.match(r"  +\d+  torch ", line))
    assert all(row.candidate in listed for row in accepted)


def tag_of(each: Wheel) -> list[str]:
    return each.filename.removesuffix(".whl").split("-")[-3:]


def runs_here(world: World, each: Wheel) -> bool:
    return any(
        tag_of(each)[0] == f"cp{python.replace('.', '')}" and tag_of(each)[1] == tag_of(each)[0]
        and (each.requires_python is None or SpecifierSet(each.requires_python).contains(f"{python}.99"))
        for python in world.request.pythons
    )  # fmt: skip


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def lacks_driver(world: World, each: Wheel) -> bool:
    floor = KNOWN.driver_floor(each.variant or "", "linux")
    assert world.machine.driver is not None
    return floor is not None and numbers(world.machine.driver.version) < numbers(floor.minimum)


def lacks_code(world: World, each: Wheel) -> bool:
    codes = [divmod(int(code.removeprefix("sm_")), 10) for code in world.contents[each.url].sass or ()]
    return any(
        not any(code[0] == cc.major and code[1] <= cc.minor for code in codes)
        for cc in (gpu.compute_capability for gpu in world.machine.gpus)
    )


def another_version(world: World, each: Wheel) -> bool:
    if "dev" in each.version and world.profile.channel == "stable":
        return True
    asked = world.request.torch if each.project == "torch" else None
    return (asked is not None and not SpecifierSet(asked).contains(each.version, prereleases=True)) or (
        "dev" in each.version and each.channel == "stable"
    )


def another_build(world: World, each: Wheel) -> bool:
    if (each.variant or "").startswith("rocm"):
        return True
    return (each.variant == "cpu") is not world.cpu or world.request.variant not in (None, each.variant)


def goes_with_nothing(world: World, each: Wheel) -> bool:
    """A torch whose torchvision of the same build asks for another torch or runs elsewhere; or such a torchvision."""
    if "torchvision" not in world.profile.packages:
        return False
    pairs = [
        (torch, vision)
        for torch in world.wheels
        for vision in world.wheels
        if (torch.project, vision.project) == ("torch", "torchvision") and each in (torch, vision)
        if torch.variant == vision.variant and torch.channel == vision.channel and tag_of(torch) == tag_of(vision)
        if world.contents[vision.url].requires_dist == (f"torch=={torch.version.partition('+')[0]}",)
    ]
    return not [pair for pair in pairs if not any(plainly_refused(world, one) for one in pair)]


FACTS: dict[str, Callable[[World, Wheel], bool]] = {
    "platform": lambda world, each: not re.fullmatch(r"manylinux_.*_x86_64", tag_of(each)[2]),
    "libc": lambda world, each: tag_of(each)[2] == "manylinux_2_40_x86_64",
    "python": lambda world, each: not runs_here(world, each),
    "abi": lambda world, each: tag_of(each)[1].endswith("t"),
    "channel": lambda world, each: each.channel != world.profile.channel,
    "version": another_version,
    "variant": another_build,
    "driver": lacks_driver,
    "kernels": lacks_code,
    "yanked": lambda world, each: each.yanked is not None,
    "too-new": lambda world, each: (
        world.request.exclude_newer is not None and (each.upload_time is None or each.upload_time[:10] > CUTOFF)
    ),
    "hash": lambda world, each: world.request.require_hash and each.sha256 is None,
    "excluded": lambda world, each: (
        each.project not in world.profile.packages
        or any(
            Requirement(text).name == each.project
            and Requirement(text).specifier.contains(each.version, prereleases=True)
            for text in world.request.exclude
        )
    ),
    "companion": goes_with_nothing,
}


def plainly_refused(world: World, each: Wheel) -> bool:
    """By something that stands in its own row, or by what is inside it."""
    cpu = ("driver", "kernels")
    return any(
        fact(world, each)
        for reason, fact in FACTS.items()
        if reason != "companion" and not (world.cpu and reason in cpu)
        if not (reason == "kernels" and each.project != "torch")
        if not (reason == "channel" and world.profile.channel == "auto")
    )


@pytest.mark.parametrize("number", range(len(WORLDS)))
def test_each_reason_is_so(number: int) -> None:
    world = WORLDS[number]
    by_label: dict[str, list[Wheel]] = {}
    for each in world.wheels:
        by_label.setdefault(label(each), []).append(each)

    for row in world.answer().rejected:
        true = [each for each in by_label[row.candidate] if FACTS[row.reason](world, each)]
        assert len(true) >= row.wheels, (row, by_label[row.candidate])


def test_the_worlds_hold_every_reason() -> None:
    seen = {row.reason for world in WORLDS for row in world.answer().rejected}

    assert seen == FACTS.keys()
    assert any(isinstance(world.answer(), Decision) for world in WORLDS)


@pytest.mark.parametrize("text", ["torch", "torchvision", "torch==9.1.0", "torch>=9.1", "torchvision==89.0.0"])
def test_about_leaves_out_and_changes_nothing(text: str) -> None:
    asked = Requirement(text)
    some = 0
    for world in WORLDS:
        whole = world.answer()
        try:
            part = about(whole, text)
        except UsageError:
            candidates = [*whole.rejected, *(whole.accepted if isinstance(whole, Decision) else ())]
            assert not any(row.project == asked.name and asked.specifier.contains(row.version, prereleases=True)
                           for row in candidates)  # fmt: skip
            continue
        some += 1
        kept = [
            row for row in whole.rejected
            if row.project == asked.name and asked.specifier.contains(row.version, prereleases=True)
        ]  # fmt: skip
        assert list(part.rejected) == kept
        if isinstance(whole, Decision):
            assert isinstance(part, Decision)
            assert replace(part, rejected=whole.rejected, accepted=whole.accepted) == whole
            assert set(part.accepted) <= set(whole.accepted)
        lines = set(explain(whole))
        own = [line for line in explain(part) if line.startswith("  ") and ": " in line]
        assert all(any(version in each for each in lines) for line in own for version in [line.split(": ")[-1]])
    assert some
