"""A refusal by every source: explained over all of them together, and decided again without what was asked for.

Which source was asked first changes neither the reason nor the advice.
"""

from __future__ import annotations

from dataclasses import field, replace
from functools import partial
from pathlib import Path

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.errors import GpuenvError, PackageIndexError
from gpuenv.index.config import Place
from gpuenv.index.source import merge
from gpuenv.model.decision import Decision, NoDecision, Question
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Catalog, Channel, WheelContents
from gpuenv.report import Silent
from gpuenv.select.evaluation import narrowed
from gpuenv.select.request import Request
from gpuenv.select.settle import settle
from gpuenv.steps.context import Context
from gpuenv.steps.machine import TargetMachine
from gpuenv.steps.profile import load_profile
from gpuenv.steps.sources import ask, family_of
from gpuenv.steps.wheels import Reader

MOST_READ = 6
"""Wheels that are read for the advice: a request or two each, on top of what the decision itself read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What one source offered in vain: the pages of ``channels``, and those of nightlies where they were looked at."""

    place: Place
    catalog: Catalog
    channels: tuple[Channel, ...]
    answer: NoDecision


def of_source(place: Place, request: Request) -> Request:
    """The request as a source is asked: where there are no channels, all there is was offered."""
    return request if place.kind in ("pytorch", "mirror") else replace(request, nightly_offered=True)


@dataclass(slots=True, kw_only=True)
class RefusedRun:
    """The refusal of one run."""

    context: Context
    machine: TargetMachine
    profile: Profile
    request: Request
    reader: Reader
    refused: tuple[Refused, ...]
    _reads: int = 0
    _pages: dict[tuple[Place, Channel, tuple[str, ...]], Catalog | None] = field(default_factory=dict)

    def explained(self) -> NoDecision:
        """Why nothing fits, over all sources together."""
        if len(self.refused) == 1:
            return self.refused[0].answer
        together = merge(each.catalog for each in self.refused)
        request = replace(self.request, nightly_offered=True)
        facts, known = self.reader.facts, tables.load()
        answer, _ = settle(self.machine.facts, self.profile, together, facts, request, known, read=self.reader.known)
        return answer if isinstance(answer, NoDecision) else self.refused[0].answer

    def hints(self) -> tuple[str, ...]:
        """What there is instead, each as the command that gives it."""
        from gpuenv.select.alternatives import alternatives
        from gpuenv.steps.advice import advice
        from gpuenv.steps.pythons import other_pythons

        found = alternatives(
            self.machine.facts,
            self.profile,
            self.request,
            tables.load(),
            pythons=other_pythons(self.context, profile=self.profile, machine=self.machine),
            auto=self._auto(),
            again=self._again,
        )
        words, origin = self.context.words, self.profile.origin
        if not origin.startswith("bundled:"):
            origin = self.context.shown(Path(origin))
        return tuple(advice(each, words=words, profile=self.profile.name, origin=origin) for each in found)

    def _auto(self) -> Profile | None:
        try:
            return load_profile(self.context, "auto")
        except GpuenvError:
            return None

    def _again(self, profile: Profile, request: Request) -> Decision | None:
        """Walk through the sources as a run with these constraints would."""
        projects = family_of(profile, tables.load().family, request)
        first: Channel = "nightly" if (request.channel or profile.channel) == "nightly" else "stable"
        for each in self.refused:
            catalog = self._offered(each, first, projects)
            if catalog is None:
                continue
            answer, _ = settle(
                self.machine.facts,
                profile,
                catalog,
                self.reader.facts,
                of_source(each.place, request),
                tables.load(),
                read=self._read,
                nightly=partial(self._with_nightlies, each, catalog, projects),
            )
            if isinstance(answer, Decision):
                return answer
        return None

    def _with_nightlies(
        self, each: Refused, catalog: Catalog, projects: tuple[str, ...], _stable: NoDecision
    ) -> Catalog:
        nightly = self._offered(each, "nightly", projects)
        return catalog if nightly is None else merge((catalog, nightly))

    def _offered(self, each: Refused, channel: Channel, projects: tuple[str, ...]) -> Catalog | None:
        """The pages of a channel, as they were asked for, or asked for now; ``None`` where they cannot be had."""
        key = (each.place, channel, projects)
        if key not in self._pages:
            self._pages[key] = self._page(each, channel, projects)
        return self._pages[key]

    def _page(self, each: Refused, channel: Channel, projects: tuple[str, ...]) -> Catalog | None:
        layered = each.place.kind in ("pytorch", "mirror")
        nightly = channel == "nightly"
        rows = [wheel for wheel in each.catalog.wheels if not layered or (wheel.channel == "nightly") is nightly]
        known = {attempt.project for attempt in each.catalog.attempts}
        if set(projects) <= known and (rows or channel in each.channels):
            found = replace(each.catalog, wheels=tuple(rows))
        elif not layered and set(projects) <= known:
            return None
        else:
            try:
                silent = replace(self.context, reporter=Silent())
                found = ask(silent, each.place, projects=projects, channels=(channel,))
            except PackageIndexError:
                return None
        return narrowed(self.machine.facts, found)

    def _read(self, question: Question) -> WheelContents | str:
        """Read a wheel for the sake of advice, as long as that is cheap."""
        if self._reads >= MOST_READ:
            return "not read: it would have been for advice alone"
        self._reads += 1
        return self.reader.read(question)
