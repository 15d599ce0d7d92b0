"""Scenarios: a machine, an index, a wish, and what is right. One file each; its name is the test's.

``[machine]``: driver, cuda, capabilities, names, os, arch, libc, wsl. ``[profile]``: ``name`` of a bundled one, or its
fields, with what it is ``called``. ``[request]``: fields of :class:`gpuenv.select.Request`. ``[index]``: ``recorded``
(a day, with ``channels`` and ``variants`` to narrow it) and rows: ``[index.torch]`` (stable),
``[index.nightly.torch]``,
``[index.package-index.torch]``, ``[index.find-links.torch]``; a row is a version, a folder where the version does not
tell it, and its tags. ``[wheels."torch 9.1.0+cu128"]`` says what is inside (``sass``, ``ptx``, ``cuda``, ``requires``,
or ``unreadable``); without such a table a torch holds what its variant usually holds, a companion requires no torch
and does not tell its build (``cuda = ""`` or ``"13.0"`` tells it).
``[expected]``: facts of the answer, see ``_check``. Of a refusal ``alternatives`` are all that is offered instead, as
lines of hints; ``words`` under ``[request]`` is what was typed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpuenv.knowledge import load
from gpuenv.model.decision import Decision, NoDecision, Question
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Catalog, WheelContents
from gpuenv.profile import read_profile
from gpuenv.select.alternatives import alternatives
from gpuenv.select.request import Request
from gpuenv.select.settle import settle
from gpuenv.steps.advice import advice
from gpuenv.steps.pythons import nearest_first
from gpuenv.system.files import read_text
from support.choosing import machine, profile, request
from support.scenarios import frozen, listed, read_scenario

HERE = Path(__file__).parent
PROFILES = HERE.parents[1] / "profiles"
ALL_PYTHONS = ("3.12", "3.13", "3.11", "3.14", "3.10", "3.9", "3.8")
Answer = Decision | NoDecision


@pytest.mark.parametrize("path", sorted(HERE.glob("*.toml")), ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    scenario = tomllib.loads(path.read_text(encoding="utf-8"))
    assert set(scenario) <= {"description", "case", "machine", "profile", "request", "index", "wheels", "expected"}
    asked: list[Question] = []
    answer, catalog, advised = _answer(scenario, asked)
    _check(answer, scenario["expected"], asked, advised)
    wheels = len(answer.accepted) if isinstance(answer, Decision) else 0
    assert wheels + sum(row.wheels for row in answer.rejected) == len({each.url for each in catalog.wheels})


def _answer(scenario: dict[str, Any], asked: list[Question]) -> tuple[Answer, Catalog, Callable[[], list[str]]]:
    inside = {**scenario.get("wheels", {})}

    def read(question: Question) -> WheelContents | str:
        asked.append(question)
        return read_scenario(question, inside)

    def offer(*, nightly: bool) -> Catalog:
        return Catalog(wheels=tuple(listed(scenario["index"], nightly=nightly)))

    wish = dict(scenario.get("profile", {}))
    if "name" in wish:
        chosen = read_profile(PROFILES / f"{wish['name']}.toml", origin=f"bundled:{wish['name']}", read=read_text)
    else:
        called = wish.pop("called", "test")
        chosen = profile(called, **{key.replace("-", "_"): frozen(value) for key, value in wish.items()})
    on = machine(*scenario["machine"].pop("capabilities", ()), **_driverless(scenario["machine"]))
    words = scenario.get("request", {}).pop("words", "").split()
    wanted = request(**{key.replace("-", "_"): frozen(value) for key, value in scenario.get("request", {}).items()})

    def decided(
        wish: Profile, request: Request, read: Callable[[Question], WheelContents | str]
    ) -> tuple[Answer, Catalog]:
        nightly_first = (request.channel or wish.channel) == "nightly"
        offered = offer(nightly=nightly_first)
        return settle(on, wish, offered, {}, request, load(), read=read, nightly=lambda _: offer(nightly=True))

    def again(wish: Profile, request: Request) -> Decision | None:
        found, _ = decided(wish, request, lambda question: read_scenario(question, inside))
        return found if isinstance(found, Decision) else None

    def advised() -> list[str]:
        auto = profile("auto", accelerator="auto")
        pythons = nearest_first(ALL_PYTHONS, wanted.pythons[0] if len(wanted.pythons) == 1 else None)
        found = alternatives(on, chosen, wanted, load(), pythons=pythons, auto=auto, again=again)
        return [advice(each, words=words, profile=chosen.name, origin=chosen.origin) for each in found]

    return (*decided(chosen, wanted, read), advised)


def _driverless(table: dict[str, Any]) -> dict[str, Any]:
    return {**table, "driver": None} if table.get("driver", "") in ("", "none") else table


def _check(answer: Answer, expected: dict[str, Any], asked: list[Question], advised: Callable[[], list[str]]) -> None:
    said = dict(expected)
    rejected = {(row.candidate, row.reason) for row in answer.rejected}
    for candidate, reason in said.pop("rejected", {}).items():
        assert (candidate, reason) in rejected, sorted(row for row in rejected if row[0] == candidate)
    if "questions" in said:
        assert len(asked) == said.pop("questions"), [(each.about, each.wheel.filename) for each in asked]
    if said.pop("nothing", False):
        assert isinstance(answer, NoDecision), answer
        _check_nothing(answer, said, advised)
        return
    assert isinstance(answer, Decision), answer
    _check_decision(answer, said)


def _check_nothing(answer: NoDecision, said: dict[str, Any], advised: Callable[[], list[str]]) -> None:
    if "alternatives" in said:
        assert advised() == _list(said.pop("alternatives"))
    for text in _list(said.pop("not", [])):
        assert text not in "\n".join((answer.summary, *answer.causes, *answer.hints))
    for text in _list(said.pop("summary", [])):
        assert text in answer.summary
    for text in _list(said.pop("causes", [])):
        assert text in "\n".join(answer.causes)
    for text in _list(said.pop("hints", [])):
        assert text in "\n".join((*advised(), *answer.hints))
    assert not said, f"unknown keys: {said}"


def _check_decision(answer: Decision, said: dict[str, Any]) -> None:
    versions = {each.project: each.version for each in answer.packages}
    for text in _list(said.pop("because", [])):
        assert text in "\n".join(answer.because)
    for text in _list(said.pop("warnings", [])):
        assert text in "\n".join(answer.warnings)
    if said.pop("no-warnings", False):
        assert not answer.warnings
    if "variant" in said:
        assert answer.variant in _list(said.pop("variant"))
    if "support" in said:
        assert {gpu.support for gpu in answer.gpus} == {said.pop("support")}
    for key in ("channel", "python", "accelerator", "source"):
        if key in said:
            assert getattr(answer, key) == said.pop(key)
    for project in said.pop("without", []):
        assert project not in versions
    for project, version in said.items():
        assert versions[project] == version


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
