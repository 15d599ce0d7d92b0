"""Laws of a refusal: what it says is so, and each command it offers works on the same inputs."""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import pytest

from gpuenv.cli import parser, verbs
from gpuenv.knowledge import load
from gpuenv.knowledge.rules import compare_versions
from gpuenv.model.decision import Alternative, Decision, NoDecision
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Catalog, Wheel
from gpuenv.select.alternatives import alternatives
from gpuenv.select.candidates import CatalogEntry, label, nightly_day, parse_entry
from gpuenv.select.evaluation import narrowed
from gpuenv.select.request import Request
from gpuenv.select.settle import settle
from gpuenv.steps.advice import advice
from gpuenv.steps.pythons import nearest_first
from support.choosing import machine, profile, read_recorded, recorded, request

KNOWN = load()
PYTHONS = ("3.12", "3.11", "3.13", "3.14", "3.10", "3.9", "3.8")
DAYS = ("2025-06-15", "2026-03-01", "2026-05-19")
GPUS = ("3.5", "3.7", "5.2", "6.0", "6.1", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")
DRIVERS = ("418.40.04", "450.80.02", "470.82.01", "525.60.13", "550.54.15", "570.124.06", "580.95.05", "595.71.05")
TORCH = (
    "==2.0.1", "==2.4.1", "==2.6.0", "==2.7.1", "==2.7.9", "==2.9.1", "==2.9.1+cu126", ">=2.8", "<2.5", "==2.99",
    ">=2.5,<2.7", "==2.11.0.dev20260102",
)  # fmt: skip
VARIANTS = ("cu118", "cu121", "cu124", "cu126", "cu128", "cu130", "cu134", "cuda12.8", "13.0", "CU126", "rocm6.4")
PROFILES = (
    profile("auto", accelerator="auto"),
    profile("team", packages=("torch==2.5.1",)),
    profile("steady", channel="stable"),
    profile("cpu", accelerator="cpu"),
)
AUTO = PROFILES[0]


@dataclass(frozen=True)
class World:
    """Somebody's machine, what they asked for, and the day they asked."""

    machine: Machine
    profile: Profile
    request: Request
    day: str

    @property
    def words(self) -> list[str]:
        asked = self.request
        options = {
            "--profile": self.profile.name, "--torch": asked.torch, "--variant": asked.variant,
            "--channel": asked.channel, "--exclude-newer": asked.exclude_newer,
            "--python": asked.pythons[0] if len(asked.pythons) == 1 else None,
        }  # fmt: skip
        words = [word for name, value in options.items() if value for word in (name, value)]
        return ["resolve", *words, *(word for index in asked.gpus or () for word in ("--gpu", str(index)))]


def worlds(count: int, seed: int) -> Iterator[World]:
    """Drawn from a fixed seed: the same on every run, and not only the easy ones."""
    chance = random.Random(seed)

    def perhaps(options: tuple[str, ...], likely: float) -> str | None:
        return chance.choice(options) if chance.random() < likely else None

    for _ in range(count):
        gpus = chance.choices(GPUS, k=chance.choice((1, 1, 1, 2)))
        arch = chance.choice(("x86_64", "x86_64", "aarch64"))
        asked = request(
            most_reads=1,  # of nightlies, each of which decides again on 10,000 rows
            pythons=(chance.choice(("3.8", "3.9", "3.11", "3.13", "3.13t")),) if chance.random() < 0.3 else PYTHONS[:4],
            torch=perhaps(TORCH, 0.6),
            variant=perhaps(VARIANTS, 0.4),
            channel=perhaps(("stable", "nightly"), 0.2),
            exclude_newer=perhaps(("2023-06-01", "2025-12-01"), 0.15),
            gpus=(0,) if len(gpus) > 1 and chance.random() < 0.3 else None,
        )
        yield World(
            machine=machine(*gpus, driver=chance.choice(DRIVERS), arch=arch),  # type: ignore[arg-type]  # one of two
            profile=chance.choice(PROFILES[:1] * 4 + PROFILES[1:]),
            request=asked,
            day=chance.choice(DAYS),
        )


CHOSEN = (
    World(machine("8.9"), AUTO, request(torch="==2.7.9"), DAYS[1]),
    World(machine("8.9"), PROFILES[3], request(variant="cu128"), DAYS[1]),
    World(machine("8.9"), AUTO, request(torch="==2.9.1", channel="nightly", most_reads=1), DAYS[1]),
    World(machine("12.0"), AUTO, request(most_reads=1), "2025-01-15"),
    World(machine("7.0", "10.0"), AUTO, request(torch="==2.6.0"), DAYS[1]),
)
"""Worlds that chance brings about too seldom."""


@cache
def pages(day: str, arch: str, channels: tuple[str, ...]) -> Catalog:
    whole = narrowed(machine(arch=arch), recorded(day, channels=channels, projects=("torch",)))  # type: ignore[arg-type]  # one of two
    days = sorted({str(nightly_day(wheel.version)) for wheel in whole.wheels if nightly_day(wheel.version)})[-4:]
    kept = (each for each in whole.wheels if nightly_day(each.version) in (None, *days))
    return replace(whole, wheels=tuple(kept))


def decided(world: World, wish: Profile, asked: Request) -> Decision | NoDecision:
    arch, first = world.machine.arch, (asked.channel or wish.channel) == "nightly"
    both = pages(world.day, arch, ("stable", "nightly"))
    offered = pages(world.day, arch, ("nightly",)) if first else pages(world.day, arch, ("stable",))
    return settle(world.machine, wish, offered, {}, asked, KNOWN, read=read_recorded, nightly=lambda _: both)[0]


@dataclass(frozen=True)
class Refused:
    """A refusal with what it offers instead."""

    world: World
    answer: NoDecision
    offers: tuple[Alternative, ...]

    @property
    def hints(self) -> list[str]:
        origin, words = self.world.profile.origin, self.world.words
        return [advice(each, words=words, profile=self.world.profile.name, origin=origin) for each in self.offers]

    @property
    def said(self) -> str:
        return "\n".join((self.answer.summary, *self.answer.causes, *self.answer.hints, *self.hints))


@cache
def refusals() -> tuple[Refused, ...]:
    found = []
    for world in (*CHOSEN, *worlds(60, seed=20261126)):
        answer = decided(world, world.profile, world.request)
        if isinstance(answer, Decision):
            continue

        def again(wish: Profile, asked: Request, world: World = world) -> Decision | None:
            said = decided(world, wish, asked)
            return said if isinstance(said, Decision) else None

        asked = world.request.pythons
        offers = alternatives(
            world.machine, world.profile, world.request, KNOWN, auto=AUTO, again=again,
            pythons=nearest_first(PYTHONS, asked[0] if len(asked) == 1 else None),
        )  # fmt: skip
        found.append(Refused(world, answer, offers))
    return tuple(found)


def test_there_is_something_to_hold() -> None:
    assert len(refusals()) > 25
    assert all(each.offers for each in refusals()), "the CPU at least"


def test_every_command_of_a_refusal_works_and_gives_what_it_says() -> None:
    """ "The smallest set whose dropping gives an answer is the hint, as a command that works." """
    made, tried = parser.build(verbs.load()), 0
    for refused in refusals():
        for hint in refused.hints:
            command = re.search(r"`gpuenv ([^`]+)`", hint)
            if command is None:
                assert "would be chosen" in hint
                continue
            typed = parser.read(made, shlex.split(command[1]))
            said = decided(refused.world, *as_typed(typed))
            assert isinstance(said, Decision), (refused.world, hint)
            assert f"{label(said.packages[0])} is chosen" in hint
            tried += 1
    assert tried > 25


def as_typed(typed: object) -> tuple[Profile, Request]:
    """The question that a command line asks."""
    options = vars(typed)
    wish = next(each for each in PROFILES if each.name == (options["profile"] or "auto"))
    values = {name: options[name] for name in ("torch", "variant", "channel", "exclude_newer")}
    pythons = (options["python"],) if options["python"] else PYTHONS[:4]
    gpus = tuple(options["gpu"]) if options["gpu"] else None
    insist = bool(options["allow_unknown_kernels"])
    return wish, request(pythons=pythons, gpus=gpus, insist_unknown=insist, most_reads=1, **values)


def test_no_smaller_change_would_do() -> None:
    """ "The smallest set": where two constraints have to go, neither alone would do."""
    pairs = [each for each in refusals() if each.offers and len(each.offers[0].changes) == 2]
    assert pairs
    for refused in pairs:
        for change in refused.offers[0].changes:
            fields = {"torch": "torch", "variant": "variant", "exclude-newer": "exclude_newer"}
            if change.option in fields and refused.world.profile.variant is None:
                asked = replace(refused.world.request, **{fields[change.option]: None})
                assert isinstance(decided(refused.world, refused.world.profile, asked), NoDecision), refused.said


# --- claims and their predicates --------------------------------------------------------------------------------------


def rows(world: World, text: str) -> list[CatalogEntry]:
    """The wheels of torch that a claim is about: what is not said of them does not narrow them."""
    wheels: tuple[Wheel, ...] = pages(world.day, world.machine.arch, ("stable",)).wheels
    found = [entry for each in wheels if (entry := parse_entry(each, KNOWN)) is not None and entry.build == "cuda"]
    if "in the nightly channel" in text:
        return []
    if version := re.search(r"torch ([\d.]+(?:\+\w+)?)", text):
        found = [each for each in found if version[1] in (str(each.version), each.version.public)]
    if any(operator in text for operator in ("torch>", "torch<")):
        return []
    if variant := re.search(r"(?: in|for) (cu\d+)", text):
        found = [each for each in found if each.variant == variant[1]]
    if python := re.search(r"for Python ([\d., ort]+?)(?= has| is| in|$|:)", text):
        tags = {f"cp3{each.split('.')[1]}" for each in re.findall(r"3\.\d+", python[1])}
        found = [each for each in found if each.tags.python in tags]
    if cutoff := re.search(r"as old as (\S+)", text):
        found = [each for each in found if (each.wheel.upload_time or "9")[:10] <= cutoff[1]]
    return found


def serves(world: World, entry: CatalogEntry) -> bool:
    """Whether the tables know code in a wheel for every GPU of a machine."""
    row = KNOWN.kernel_row(entry.wheel)
    gpus = world.machine.gpus if world.request.gpus is None else world.machine.gpus[:1]
    capable = (f"sm_{gpu.compute_capability.major}{gpu.compute_capability.minor}" for gpu in gpus)
    return row is not None and all(code in row.sass for code in capable)


def no_code(refused: Refused) -> bool:
    return not any(serves(refused.world, each) for each in rows(refused.world, refused.answer.summary))


def too_old(refused: Refused) -> bool:
    driver = refused.world.machine.driver
    assert driver is not None
    with_code = [each for each in rows(refused.world, refused.answer.summary) if serves(refused.world, each)]
    floors = [KNOWN.driver_floor(each.variant or "", "linux") for each in with_code]
    return all(floor is not None and compare_versions(driver.version, floor.minimum) < 0 for floor in floors)


def nothing_offered(refused: Refused) -> bool:
    return not rows(refused.world, refused.answer.summary.replace("in the ", ""))


def is_there(refused: Refused) -> bool:
    """``torch 2.6.0 is there in cu118 and cu124``: each of them is."""
    for line in refused.answer.causes:
        found = re.fullmatch(r"(torch.*?) is there in (cu[\w, ]+)", line)
        for variant in re.findall(r"cu\d+", found[2]) if found else ():
            if found and not [each for each in rows(refused.world, found[1]) if each.variant == variant]:
                return "torch>" in found[1] or "torch<" in found[1]
    return True


def not_offered_here(refused: Refused) -> bool:
    told = re.search(r"torch (\S+) (cu\d+) has it: name a source", refused.said)
    offered = {(each.version.public, each.variant) for each in rows(refused.world, "")}
    return told is not None and (told[1], told[2]) not in offered


CLAIMS: dict[str, Callable[[Refused], bool]] = {
    r"^no wheel.* has code for ": no_code,
    r"^no single wheel.* has code for every GPU": no_code,
    r"is too old for every wheel": too_old,
    r"was never built for": nothing_offered,
    r"^there is no torch \S+$": nothing_offered,
    r"is there in cu": is_there,
    r"name a source that offers it": not_offered_here,
    r"^there is no CUDA variant named": lambda refused: KNOWN.cuda_of(refused.world.request.variant or "") is None,
    r"is for the CPU, and cu\d+ is a CUDA build": lambda refused: refused.world.profile.accelerator == "cpu",
    r"--variant \S+ instead of --variant": lambda refused: refused.world.request.variant is not None,
    r"instead of --torch": lambda refused: refused.world.request.torch is not None,
    r"instead of --python": lambda refused: len(refused.world.request.pythons) == 1,
    r"instead of --channel": lambda refused: refused.world.request.channel is not None,
    r"instead of --exclude-newer": lambda refused: refused.world.request.exclude_newer is not None,
    r"of profile team": lambda refused: refused.world.profile.name == "team",
    r"For GPU \d alone": lambda refused: len(refused.world.machine.gpus) > 1,
    r"in the nightly channel": lambda refused: refused.world.request.channel == "nightly",
    r"in the stable channel": lambda refused: (
        "stable" in (refused.world.request.channel, refused.world.profile.channel)
        or refused.world.request.channel == "nightly"  # where it is said that it is there
    ),
    r"On the CPU": lambda refused: refused.world.profile.accelerator != "cpu",
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_claim_without_its_fact_and_none_that_is_never_made(claim: str) -> None:
    made = [each for each in refusals() if re.search(claim, each.said, re.MULTILINE)]
    assert made, "a pattern that matches nothing guards nothing"
    for refused in made:
        assert CLAIMS[claim](refused), (refused.world.words, refused.world.machine, refused.said)
