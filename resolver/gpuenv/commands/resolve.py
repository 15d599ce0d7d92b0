"""Decide which wheels a machine gets, and why; build nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpuenv import select
from gpuenv.commands import deciding
from gpuenv.commands.context import Context, Outcome, Problem
from gpuenv.commands.deciding import Decided, NothingFitsError
from gpuenv.commands.saying import say_machine
from gpuenv.commands.seeing import Seen, see
from gpuenv.commands.wanted import profile_of
from gpuenv.model.decision import NoDecision
from gpuenv.model.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveOutcome(Outcome):
    """``decided`` or ``refused``, one of them; ``explain`` asks for every rejected candidate."""

    seen: Seen
    profile: Profile
    decided: Decided | None
    refused: NoDecision | None
    explain: bool


def run(context: Context, *, explain: bool, about: str | None = None) -> ResolveOutcome:
    """Decide. Where nothing fits, the outcome still holds every rejection (exit 3), or those that ``about`` names."""
    seen = see(context)
    profile = profile_of(context)
    say_machine(context, seen, profile)
    try:
        decided = deciding.decide(context, seen=seen, profile=profile)
    except NothingFitsError as error:
        return ResolveOutcome(
            seen=seen,
            profile=profile,
            decided=None,
            refused=select.about(error.answer, about) if about else error.answer,
            explain=explain,
            exit_code=3,
            problems=(Problem.of(error),),
        )
    if about:
        decided = replace(decided, decision=select.about(decided.decision, about))
    return ResolveOutcome(seen=seen, profile=profile, decided=decided, refused=None, explain=explain)
