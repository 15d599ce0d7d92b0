"""Which rules leave no wheel of torch: the smallest set of them that together refuses every one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal, get_args

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import Gpu
from gpuenv.select import kernels, rules
from gpuenv.select.candidates import CatalogEntry
from gpuenv.select.evaluation import Evaluation
from gpuenv.select.rules import Problem, Rule
from gpuenv.select.target import Refusal, platform_words

Part = Literal[
    "kernels", "unknown-kernels", "driver", "companion",
    "variant", "version", "python", "channel", "too-new", "yanked", "hash",
]  # fmt: skip
"""What refuses a wheel. The first row is about the machine and the family, the second about what was asked for."""

ORDER: tuple[Part, ...] = get_args(Part)
"""Of two sets of one size the one that stands first here is named: what no change of the command line would cure."""

ASKED: frozenset[Part] = frozenset({"variant", "version", "python", "channel", "too-new", "yanked", "hash"})

_RULES: dict[Part, Rule] = {
    "variant": rules.build_fits,
    "version": rules.version_fits,
    "python": rules.python_fits,
    "channel": rules.channel_fits,
    "too-new": rules.old_enough,
    "yanked": rules.not_yanked,
    "hash": rules.hash_given,
    "driver": rules.driver_runs,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One wheel of torch, of the right kind of build, with everything that refuses it."""

    entry: CatalogEntry
    parts: frozenset[Part]
    refusal: Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """``parts`` refuse every wheel, and no fewer do. ``rows`` are all the wheels."""

    parts: frozenset[Part]
    rows: tuple[Row, ...]

    @property
    def asked(self) -> frozenset[Part]:
        """Those that were asked for."""
        return self.parts & ASKED

    def meeting(self, parts: frozenset[Part]) -> list[Row]:
        """The wheels that none of ``parts`` refuses."""
        return [row for row in self.rows if not row.parts & parts]


def smallest(evaluation: Evaluation) -> Conflict | None:
    """Find the smallest set; ``None`` where no wheel is of the kind (CUDA or CPU) that is decided on.

    Every wheel is asked by every rule, not by the first that refuses alone: "torch 2.6.0 has no code for this card" is
    found, not "2.10.0 is no 2.6.0".
    """
    kind = "cpu" if evaluation.problem.cpu else "cuda"
    # One build comes in a wheel for each Python: what holds of the code of one holds of all.
    refused = evaluation.refused()
    known = {
        _build(entry): frozenset[Part]({"kernels"})
        for entry, refusal in refused
        if passed_over(evaluation.problem, entry, refusal)
    }
    rows = tuple(
        Row(entry=entry, parts=_parts(evaluation, entry, refusal, known), refusal=refusal)
        for entry, refusal in refused
        if entry.wheel.channel != "test" and (entry.build == kind or _was_examined(entry, refusal))
    )
    if not rows:
        return None
    sets = {row.parts for row in rows}
    order = ORDER
    if evaluation.problem.machine.driver is None:  # first of all somebody has to say which it is
        order = ("driver", *(part for part in ORDER if part != "driver"))
    present = [part for part in order if any(part in each for each in sets)]
    for size in range(1, len(present) + 1):
        for chosen in combinations(present, size):
            if all(each.intersection(chosen) for each in sets):
                return Conflict(parts=frozenset(chosen), rows=rows)
    raise AssertionError("a refused wheel is refused by nothing")


def _was_examined(entry: CatalogEntry, refusal: Refusal) -> bool:
    """Whether a wheel whose name does not tell its build came so far that it was to be read."""
    examined = ("kernels", "unknown-kernels", "variant", "driver", "companion")
    return entry.build == "unknown" and refusal.reason in examined


def _parts(
    evaluation: Evaluation, entry: CatalogEntry, refusal: Refusal, known: dict[tuple[str, ...], frozenset[Part]]
) -> frozenset[Part]:
    problem = evaluation.problem
    found = {part for part, rule in _RULES.items() if isinstance(rule(problem, entry), Refusal)}
    said = "python" if refusal.reason == "abi" else refusal.reason
    if passed_over(problem, entry, refusal):
        said = "kernels"  # as far as anybody looked
    found |= {part for part in ORDER if part == said}
    if not problem.cpu:
        key = _build(entry)
        if key not in known:
            answer = code(evaluation, entry, problem.gpus)
            lacking = isinstance(answer, Refusal) and answer.reason == "kernels"
            known[key] = frozenset({"kernels"}) if lacking else frozenset()
        found |= known[key]
    return frozenset(found)


def _build(entry: CatalogEntry) -> tuple[str, ...]:
    wheel = entry.wheel
    file = wheel.url if wheel.source == "find-links" else ""
    return (wheel.version, wheel.source, wheel.channel, entry.variant or "", platform_words(entry.tags.platform), file)


def passed_over(problem: Problem, entry: CatalogEntry, refusal: Refusal) -> bool:
    """Whether a wheel was left unread because so many better ones had been read in vain."""
    return refusal.reason == "unknown-kernels" and entry.wheel.url not in problem.unanswered


def code(evaluation: Evaluation, entry: CatalogEntry, gpus: Sequence[Gpu]) -> kernels.Outcome:
    """What a wheel's code is for these GPUs, on a driver new enough for it and whatever was asked for."""
    problem, gpus = evaluation.problem, tuple(gpus)
    cuda = problem.knowledge.cuda_of(entry.variant or "") or problem.driver_cuda
    key = (gpus, cuda or "")
    if key not in problem.unasked:
        problem.unasked[key] = replace(problem, gpus=gpus, variant=None, driver_cuda=cuda)
    return kernels.examine(problem.unasked[key], entry, evaluation.facts)
