"""Scenarios of companions: a machine, what the places offer, what is asked for, and what is right; a file each.

As in the folder above, and: ``[beside.PLACE.PROJECT]`` are wheels outside torch's source (``package-index``, or
``page`` for one of links), ``[pins]`` what they require of torch, ``[[facts."PROJECT VERSION"]]`` a library of one;
without it the table of facts speaks. ``[expected]``: ``torch``, ``family`` (and the ``folder`` it is from), ``chosen``,
``support``, ``said`` in reasons and warnings of torch or a companion, ``rejected`` with ``details``; or ``nothing``
with ``summary``, ``causes``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv.knowledge import load
from gpuenv.model.decision import Decision, NoDecision, Question
from gpuenv.model.library import LibraryFacts, PackageFacts
from gpuenv.model.wheel import Catalog, Wheel, WheelContents
from gpuenv.select.beside import facts_in_table
from gpuenv.select.companion_set import Places, settle_set
from gpuenv.select.companions import Offer
from gpuenv.select.request import Request
from gpuenv.select.settle import settle
from support.choosing import machine, profile, request
from support.scenarios import frozen, listed, read_scenario, rows_of

HERE = Path(__file__).parent


@pytest.mark.parametrize("path", sorted(HERE.glob("*.toml")), ids=lambda path: path.stem)
def test_companions(path: Path) -> None:
    scenario = tomllib.loads(path.read_text(encoding="utf-8"))
    given = {"description", "machine", "profile", "request", "index", "wheels", "beside", "pins", "facts", "expected"}
    assert set(scenario) <= given
    answer = _answer(scenario)
    said = dict(scenario["expected"])
    details = "\n".join(row.detail for row in answer.rejected)
    rejected = {(row.candidate, row.reason) for row in answer.rejected}
    assert set(said.pop("rejected", {}).items()) <= rejected
    assert all(text in details for text in said.pop("details", [])), details
    if said.pop("nothing", False):
        assert isinstance(answer, NoDecision), answer
        assert all(text in answer.summary for text in said.pop("summary")), answer.summary
        assert all(text in "\n".join(answer.causes) for text in said.pop("causes", [])), answer.causes
    else:
        assert isinstance(answer, Decision), (answer.summary, answer.causes)
        members = {wheel.project: wheel for wheel in answer.packages}
        assert members["torch"].version == said.pop("torch")
        assert {name: members[name].version for name in said.get("family", {})} == said.pop("family", {})
        assert {name: members[name].variant for name in said.get("folder", {})} == said.pop("folder", {})
        assert {each.project: each.version for each in answer.companions} == said.pop("chosen", {})
        support = {each.project: each.support for each in answer.companions}
        assert said.pop("support", {}).items() <= support.items()
        everything = "\n".join((*answer.because, *answer.warnings, *(each.words for each in answer.companions)))
        assert all(text in everything for text in said.pop("said", [])), everything
    assert not said, f"unknown keys: {said}"


def _answer(scenario: dict[str, Any]) -> Decision | NoDecision:
    on = machine(*scenario["machine"].pop("capabilities", ()), **scenario["machine"])
    chosen = profile(**{key.replace("-", "_"): frozen(value) for key, value in scenario["profile"].items()})
    wanted = request(**{key: frozen(value) for key, value in scenario.get("request", {}).items()})
    offered = Catalog(wheels=tuple(listed(scenario["index"], nightly=False)))

    def read(question: Question) -> WheelContents | str:
        return read_scenario(question, scenario.get("wheels", {}))

    def decided(request: Request) -> Decision | NoDecision:
        return settle(on, chosen, offered, {}, request, load(), read=read)[0]

    rows = [
        (place, project, wheel)
        for place, projects in scenario.get("beside", {}).items()
        for project, versions in projects.items()
        for wheel in rows_of(project, versions, source="find-links" if place == "page" else "package-index")
    ]

    def offers(project: str, torch: object) -> Sequence[Offer]:
        return [
            Offer(wheel=wheel, place=place, rank=2 if place == "package-index" else 3)
            for place, name, wheel in rows
            if canonicalize_name(name) == project
        ]

    def facts(wheel: Wheel) -> PackageFacts | None:
        given = scenario.get("facts", {}).get(f"{wheel.project} {wheel.version}")
        if given is None:
            return facts_in_table(wheel)
        libraries = tuple(LibraryFacts(**{key: frozen(value) for key, value in row.items()}) for row in given)
        return PackageFacts(project=wheel.project, version=wheel.version, libraries=libraries)

    def requires(wheel: Wheel) -> Sequence[str]:
        return scenario.get("pins", {}).get(f"{wheel.project} {wheel.version}", ())

    places = Places(offers=offers, facts=facts, requires=requires)
    assert all(Requirement(text) for text in chosen.packages)
    first = decided(wanted)
    return first if isinstance(first, NoDecision) else settle_set(on, chosen, first, wanted, load(), places, decided)
