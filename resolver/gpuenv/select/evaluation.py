"""Evaluates a catalog: every wheel by the rules, every torch wheel by its code; what is left is ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gpuenv.model.machine import Machine
from gpuenv.model.wheel import Catalog, Wheel, WheelContents
from gpuenv.select import kernels, rules
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
    refused: list[tuple[CatalogEntry, Refusal]]
    """Torch wheels of this platform that a rule about channel, version, build, driver or code refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """A catalog after the rules that need no reading. It holds for any facts: a second round need not repeat it."""

    entries: Mapping[str, CatalogEntry]
    """Every wheel whose name can be read, by URL."""
    passed: tuple[CatalogEntry, ...]
    refused: tuple[tuple[Wheel, Refusal], ...]
    nightly: bool


def filter_wheels(problem: Problem, catalog: Catalog) -> Filtered:
    """Check every wheel of a catalog by the rules."""
    entries: dict[str, CatalogEntry] = {}
    passed: list[CatalogEntry] = []
    refused: list[tuple[Wheel, Refusal]] = []
    for wheel in distinct(catalog.wheels):
        entry = parse_entry(wheel, problem.knowledge)
        if entry is None:
            refused.append((wheel, Refusal("platform", "its name holds no readable version and tags")))
            continue
        entries[wheel.url] = entry
        said = rules.check(problem, entry)
        if isinstance(said, Refusal):
            refused.append((wheel, said))
        else:
            passed.append(said)
    nightly = any(wheel.channel == "nightly" for wheel in catalog.wheels)
    return Filtered(entries=entries, passed=tuple(passed), refused=tuple(refused), nightly=nightly)


def narrowed(machine: Machine, catalog: Catalog) -> Catalog:
    """The catalog without the wheels of other platforms: what is asked for decides nothing about those."""
    target = TargetTags(machine, ())
    fits = (
        wheel for wheel in catalog.wheels if target.refuses_platform(wheel.filename[:-4].rpartition("-")[2]) is None
    )
    return replace(catalog, wheels=tuple(fits))


def evaluate(problem: Problem, filtered: Filtered, facts: Mapping[str, WheelContents]) -> Evaluation:
    """Check the code of every torch wheel that is left, and rank those that pass."""
    evaluation = Evaluation(
        problem=problem,
        facts=ReadContents(facts, filtered.entries),
        verdicts=Verdicts(filtered.refused),
        companions=[entry for entry in filtered.passed if entry.wheel.project != "torch"],
        nightly=filtered.nightly,
        candidates=[],
        refused=[
            (filtered.entries[wheel.url], refusal)
            for wheel, refusal in filtered.refused
            if wheel.project == "torch" and refusal.reason not in ("platform", "libc", "excluded")
        ],
    )
    _examine(evaluation, [entry for entry in filtered.passed if entry.wheel.project == "torch"])
    return evaluation


def distinct(wheels: Sequence[Wheel]) -> list[Wheel]:
    """One row per URL, sorted: a file that several pages list is one wheel, and the row with a hash tells most."""
    found: dict[str, Wheel] = {}
    for wheel in wheels:
        other = found.get(wheel.url)
        if other is None or _tells_more(wheel) < _tells_more(other):
            found[wheel.url] = wheel
    return [found[url] for url in sorted(found)]


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
    evaluation.refused.append((entry, refusal))
