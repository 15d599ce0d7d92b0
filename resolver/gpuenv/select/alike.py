"""Checks the wheels of a catalog by the rules, each rule once for all wheels that are alike in what it looks at.

A page has a file of one build for each Python and platform. The first rules look at project and platform alone, and
refuse most; that of Python looks at tags; the others say the same of all the files of a candidate.
"""

from __future__ import annotations

from dataclasses import replace

from gpuenv.metadata import parse_version
from gpuenv.model.wheel import Wheel
from gpuenv.select.candidates import CatalogEntry, parse_entry
from gpuenv.select.rules import RULES, Problem, python_fits
from gpuenv.select.target import Refusal

_UNREADABLE = Refusal("platform", "its name holds no readable version and tags")
_NAMES = tuple(RULES)
_BEFORE, _AFTER = _NAMES[: _NAMES.index("python")], _NAMES[_NAMES.index("python") + 1 :]


class Checker:
    """The rules for one problem. ``check`` says of a wheel what :func:`gpuenv.select.rules.check` says."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._before: dict[tuple[str, str, int], Refusal | None] = {}
        self._pythons: dict[tuple[str, str, str | None], Refusal | tuple[str, ...]] = {}
        self._after: dict[tuple[object, ...], Refusal | None] = {}

    def check(self, wheel: Wheel) -> Refusal | CatalogEntry:
        """The first refusal, or the wheel with the interpreters it runs on."""
        if parse_version(wheel.version) is None:
            return _UNREADABLE
        parts = wheel.filename.split("-")
        place = (wheel.project, parts[-1], len(parts))
        if place not in self._before:
            self._before[place] = self._ask(_BEFORE, wheel)
        if (refusal := self._before[place]) is not None:
            return refusal
        tags = (parts[-3], parts[-2], wheel.requires_python)
        if tags not in self._pythons:
            said = python_fits(self._problem, self._entry(wheel))
            self._pythons[tags] = said if isinstance(said, Refusal) else said.pythons
        if isinstance(found := self._pythons[tags], Refusal):
            return found
        candidate = self._candidate(wheel, parts[-1])
        if candidate not in self._after:
            self._after[candidate] = self._ask(_AFTER, wheel)
        return self._after[candidate] or replace(self._entry(wheel), pythons=found)

    def _candidate(self, wheel: Wheel, platform: str) -> tuple[object, ...]:
        """Everything of a wheel that the rules after that of Python look at, in this problem."""
        request = self._problem.request
        return (
            *(wheel.project, wheel.version, wheel.variant, wheel.channel, wheel.source, platform, wheel.yanked),
            wheel.upload_time if request.exclude_newer is not None else None,
            wheel.sha256 is None if request.require_hash else None,
        )

    def _ask(self, names: tuple[str, ...], wheel: Wheel) -> Refusal | None:
        entry = parse_entry(wheel, self._problem.knowledge)
        if entry is None:
            return _UNREADABLE
        answers = (RULES[name](self._problem, entry) for name in names)
        return next((said for said in answers if isinstance(said, Refusal)), None)

    def _entry(self, wheel: Wheel) -> CatalogEntry:
        entry = parse_entry(wheel, self._problem.knowledge)
        assert entry is not None  # what cannot be read was refused before
        return entry
