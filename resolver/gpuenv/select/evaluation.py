"""Evaluates a catalog: every wheel by the rules, every torch wheel by its code; what is left is ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpuenv.dataclass import dataclass
from gpuenv.model.decision import Reason
from gpuenv.model.machine import Machine
from gpuenv.model.wheel import Catalog, Wheel, WheelContents
from gpuenv.select import kernels
from gpuenv.select.alike import Checker
from gpuenv.select.candidates import CatalogEntry, ReadContents, parse_entry
from gpuenv.select.kernels import Served, Unknown
from gpuenv.select.rank import Ages, Rank, rank
from gpuenv.select.rules import Problem
from gpuenv.select.target import Refusal, TargetTags
from gpuenv.select.verdicts import Verdicts


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """The state of one decision: the problem, the verdicts so far, and the candidates that are left."""

    problem: Problem
    facts: ReadContents
    verdicts: Verdicts
    companions: list[CatalogEntry]
    """Wheels of other projects that passed the rules."""
    nightly: bool
    """Nightly wheels were offered."""
    candidates: list[tuple[Rank, Served | Unknown]]
    refused_before: Sequence[tuple[Wheel, Refusal]]
    """Torch wheels of this platform that a rule about Python, channel, version, build or driver refused."""
    refused_after: list[tuple[CatalogEntry, Refusal]]
    """Torch wheels that passed the rules and were refused by their code or for their companions."""

    def refused(self, *reasons: Reason) -> list[tuple[CatalogEntry, Refusal]]:
        """Torch wheels of this platform that were refused, for one of ``reasons`` where any is named."""
        known = self.problem.knowledge
        before = (
            (entry, refusal)
            for wheel, refusal in self.refused_before
            if (not reasons or refusal.reason in reasons) and (entry := parse_entry(wheel, known)) is not None
        )
        return [*before, *(row for row in self.refused_after if not reasons or row[1].reason in reasons)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """A catalog after the rules that need no reading. It holds for any facts: a second round need not repeat it."""

    wheels: Mapping[str, Wheel]
    """Every wheel by URL."""
    passed: tuple[CatalogEntry, ...]
    refused: tuple[tuple[Wheel, Refusal], ...]
    nightly: bool


def filter_wheels(problem: Problem, catalog: Catalog) -> Filtered:
    """Check every wheel of a catalog by the rules."""
    passed: list[CatalogEntry] = []
    refused: list[tuple[Wheel, Refusal]] = []
    wheels, checker = distinct(catalog.wheels), Checker(problem)
    for wheel in wheels.values():
        said = checker.check(wheel)
        if isinstance(said, Refusal):
            refused.append((wheel, said))
        else:
            passed.append(said)
    nightly = any(wheel.channel == "nightly" for wheel in catalog.wheels)
    return Filtered(wheels=wheels, passed=tuple(passed), refused=tuple(refused), nightly=nightly)


def narrowed(machine: Machine, catalog: Catalog) -> Catalog:
    """The catalog without the wheels of other platforms: what is asked for decides nothing about those."""
    target = TargetTags(machine, ())
    fits = (
        wheel for wheel in catalog.wheels if target.refuses_platform(wheel.filename[:-4].rpartition("-")[2]) is None
    )
    return replace(catalog, wheels=tuple(fits))


def evaluate(problem: Problem, filtered: Filtered, facts: Mapping[str, WheelContents]) -> Evaluation:
    """Check the code of every torch wheel that is left, and rank those that pass."""
    read = (filtered.wheels[url] for url in facts if url in filtered.wheels)
    entries = (parse_entry(wheel, problem.knowledge) for wheel in read)
    evaluation = Evaluation(
        problem=problem,
        facts=ReadContents(facts, {entry.wheel.url: entry for entry in entries if entry is not None}),
        verdicts=Verdicts(filtered.refused),
        companions=[entry for entry in filtered.passed if entry.wheel.project != "torch"],
        nightly=filtered.nightly,
        candidates=[],
        refused_before=[
            (wheel, refusal)
            for wheel, refusal in filtered.refused
            if wheel.project == "torch" and refusal.reason not in ("platform", "libc", "excluded")
        ],
        refused_after=[],
    )
    _examine(evaluation, [entry for entry in filtered.passed if entry.wheel.project == "torch"])
    return evaluation


def distinct(wheels: Sequence[Wheel]) -> dict[str, Wheel]:
    """One row per URL, sorted: a file that several pages list is one wheel, and the row with a hash tells most."""
    found: dict[str, Wheel] = {}
    for wheel in wheels:
        other = found.get(wheel.url)
        if other is None or _tells_more(wheel) < _tells_more(other):
            found[wheel.url] = wheel
    return {url: found[url] for url in sorted(found)}


def _tells_more(wheel: Wheel) -> tuple[bool, bool, str]:
    return (wheel.sha256 is None, wheel.metadata_sha256 is None, repr(wheel))


def _examine(evaluation: Evaluation, torch: Sequence[CatalogEntry]) -> None:
    problem = evaluation.problem
    left: list[Served | Unknown] = []
    for entry in torch:
        outcome = kernels.examine(problem, entry, evaluation.facts)
        if isinstance(outcome, Unknown) and entry.wheel.url in problem.unanswered:
            unread = Refusal("unknown-kernels", problem.unanswered[entry.wheel.url])
            outcome = kernels.insisted(problem, entry) if problem.request.insist_unknown else unread
        if isinstance(outcome, Refusal):
            refuse_torch(evaluation, entry, outcome)
        else:
            left.append(outcome)
    ages = Ages([outcome.entry for outcome in left])
    evaluation.candidates = sorted(
        ((rank(problem, outcome, ages), outcome) for outcome in left), key=lambda pair: pair[0]
    )


def refuse_torch(evaluation: Evaluation, entry: CatalogEntry, refusal: Refusal) -> None:
    """Enter the refusal of a torch wheel, for the verdicts and for the words."""
    evaluation.verdicts.refuse(entry.wheel, refusal)
    evaluation.refused_after.append((entry, refusal))
