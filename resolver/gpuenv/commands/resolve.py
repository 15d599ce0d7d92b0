"""Decide which wheels a machine gets, and why; build nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpuenv.dataclass import dataclass
from gpuenv.model.decision import NoDecision
from gpuenv.model.profile import Profile
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.decision import Decided, NothingFitsError, decide
from gpuenv.steps.machine import TargetMachine, detect_or_read, say_machine
from gpuenv.steps.profile import load_profile
from gpuenv.steps.project import say_project

if TYPE_CHECKING:
    from gpuenv.select.present import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveOutcome(Outcome):
    """``decided`` or ``refused``, one of them; ``explain`` asks for every rejected candidate."""

    machine: TargetMachine
    profile: Profile
    decided: Decided | None
    refused: NoDecision | None
    explain: bool


def run(context: Context, *, explain: bool, about: str | None = None) -> ResolveOutcome:
    """Decide. Where nothing fits, the outcome still holds every rejection (exit 3), or those that ``about`` names."""
    machine = detect_or_read(context)
    profile = load_profile(context)
    say_machine(context, machine, profile)
    say_project(context)
    try:
        decided = decide(context, machine=machine, profile=profile)
        if decided.decision.others:
            decided = _with_others(context, decided)
        if decided.to_build:
            from gpuenv.steps.source_builds import with_planned

            decided = with_planned(context, decided)
    except NothingFitsError as error:
        return ResolveOutcome(
            machine=machine,
            profile=profile,
            decided=None,
            refused=_only(error.answer, about),
            explain=explain,
            exit_code=3,
            problems=(Failure.of(error),),
        )
    for sentence in decided.decision.because[1:] if not explain else ():
        context.reporter.detail(f"  {sentence}")
    decided = replace(decided, decision=_only(decided.decision, about))
    return ResolveOutcome(machine=machine, profile=profile, decided=decided, refused=None, explain=explain)


def _only(answer: Answer, text: str | None) -> Answer:
    """The answer, or the part of it that ``--about`` names."""
    if not text:
        return answer
    from gpuenv.select.present import about

    return about(answer, text)


def _with_others(context: Context, decided: Decided) -> Decided:
    """Decide torch with the packages outside its family; uv is started for this alone, and its rooms loaded."""
    from gpuenv.steps.companions import with_companions
    from gpuenv.steps.dependencies import LockRequest
    from gpuenv.steps.new_lock import decide_and_lock
    from gpuenv.steps.together import with_packages

    how = LockRequest(tentative=True)
    together = with_packages(context, decided, how)
    if together is None:  # the lock says what is in the way, or finds what was not asked for yet
        return decide_and_lock(context, machine=decided.machine, profile=decided.profile, how=how, say=False)[0]
    return with_companions(context, together)
