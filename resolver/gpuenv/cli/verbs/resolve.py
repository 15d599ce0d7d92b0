"""Decide which wheels run natively on this machine, and say why; `--explain` shows every rejected candidate."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.documents import parts
from gpuenv.steps.context import Context
from gpuenv.steps.machine import begin

if TYPE_CHECKING:
    from gpuenv.commands.resolve import ResolveOutcome
    from gpuenv.model.decision import Decision, NoDecision

EXAMPLES = (
    ("gpuenv resolve", "what would be installed here, and why"),
    ("gpuenv resolve --explain --profile hopper", "every rejected candidate, by reason"),
    ("gpuenv resolve --about torchaudio", "why this torchaudio and no other"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--explain", action="store_true", help="show every rejected candidate, grouped by reason")
    parser.add_argument(
        "--about", metavar="REQ", help="explain the candidates of one package only: torch, 'torch==X.Y'"
    )


def run(arguments: argparse.Namespace, context: Context) -> ResolveOutcome:
    begin(context)
    from gpuenv.commands import resolve

    explain = arguments.explain or arguments.about is not None
    return resolve.run(context, explain=explain, about=arguments.about)


def data(outcome: ResolveOutcome) -> dict[str, object]:
    from gpuenv.select.present import decision_to_json, no_decision_to_json

    if outcome.refused is not None:
        return {"profile": outcome.profile.name, **no_decision_to_json(outcome.refused)}
    assert outcome.decided is not None
    decided = outcome.decided
    return {
        **decision_to_json(decided.decision),
        "sources": [
            {"kind": attempt.source, **parts(attempt, "project", "location", "configured_by", "failure", "wheels")}
            for attempt in decided.attempts
        ],
        **parts(decided, "requests", "bytes"),
    }


def paged(outcome: ResolveOutcome) -> bool:
    """Whether a terminal shows it page by page where it is longer than the screen."""
    return outcome.explain


def text(outcome: ResolveOutcome) -> Iterator[str]:
    if outcome.refused is not None:
        yield from _explained(outcome.refused) if outcome.explain else ()
        return
    assert outcome.decided is not None
    decided, decision = outcome.decided, outcome.decided.decision
    for wheel in decision.packages:
        yield f"{wheel.project} {wheel.version}"
    for each in decision.companions:
        yield each.words
    companions = {each.project for each in decision.companions}
    for requirement in (each for each in decision.others if _project(each) not in companions):
        yield f"{requirement}: not of torch's family, decided by `gpuenv lock` with all that it needs"
    yield f"  Python {decision.python}, {decision.channel}, {decision.variant}, from {decided.place.words}"
    if outcome.explain:
        yield ""
        yield from _explained(decision)
        return
    for sentence in decision.because[:1]:
        yield f"  {sentence}"
    for warning in decision.warnings:
        yield f"  warning: {warning}"
    if decision.refused:
        yield f"  {decision.refused} other wheels were rejected; `gpuenv resolve --explain` says why"


def _project(requirement: str) -> str:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    return canonicalize_name(Requirement(requirement).name)


def _explained(answer: Decision | NoDecision) -> Iterator[str]:
    from gpuenv.select.present import explain

    yield from explain(answer)
