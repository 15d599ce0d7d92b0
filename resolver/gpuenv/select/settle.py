"""The loop around a decision: answer its questions through a reader, offer nightlies where it wants them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from gpuenv.knowledge import Knowledge
from gpuenv.model.decision import Decision, NoDecision, Question, Questions
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Catalog, WheelContents
from gpuenv.select.decide import choose, mismatched
from gpuenv.select.evaluation import Filtered, evaluate, filter_wheels
from gpuenv.select.prepare import prepare
from gpuenv.select.request import Request, fits

Read = Callable[[Question], WheelContents | str]
"""Answers a question with what the wheel holds, or with the reason why it could not be read."""


def settle(
    machine: Machine,
    profile: Profile,
    catalog: Catalog,
    facts: Mapping[str, WheelContents],
    request: Request,
    knowledge: Knowledge,
    *,
    read: Read,
    nightly: Callable[[NoDecision], Catalog] | None = None,
) -> tuple[Decision | NoDecision, Catalog]:
    """Decide, reading what has to be read; return the answer and the catalog it was given on.

    ``nightly`` is told why the stable wheels do not suffice, and loads a catalog with the nightly pages too; it is
    called at most once, and only where the profile allows nightlies. Ends: every question is put once.
    """
    if (mismatch := fits(profile, machine, request, knowledge)) is not None:
        return mismatched(mismatch, catalog), catalog
    known = dict(facts)
    unanswered = dict(request.unanswered)
    filtered: Filtered | None = None
    while True:
        current = replace(request, unanswered=tuple(sorted(unanswered.items())))
        problem = prepare(machine, profile, current, knowledge)
        filtered = filtered or filter_wheels(problem, catalog)
        said = choose(evaluate(problem, filtered, known))
        match said:
            case Questions(items=items):
                for question in items:
                    _learn(question, read(question), known, unanswered)
            case NoDecision(wants_nightly=True) as stable if nightly is not None and not request.nightly_offered:
                catalog, filtered = nightly(stable), None
                request = replace(request, nightly_offered=True)
            case _:
                return said, catalog


def _learn(
    question: Question, said: WheelContents | str, known: dict[str, WheelContents], unanswered: dict[str, str]
) -> None:
    """Add an answer. One that lacks what was asked for counts as none, so that a question is never put twice."""
    url = question.wheel.url
    if isinstance(said, str):
        unanswered[url] = said
        return
    before = known.get(url)
    known[url] = merge(before, said) if before is not None else said
    now = known[url]
    told = now.requires_dist is not None if question.about == "metadata" else now.cuda is not None
    if question.about == "kernels":
        told = now.cuda == "" or (bool(now.cuda) and now.sass is not None)
    if not told:
        unanswered[url] = f"the wheel was read and does not tell its {question.about}{_where(now)}"


def _where(contents: WheelContents) -> str:
    return f" ({contents.detail})" if contents.detail else ""


def merge(old: WheelContents, new: WheelContents) -> WheelContents:
    """Join two readings of one wheel: the newer one where it speaks, the older where it does not."""
    return WheelContents(
        cuda=new.cuda if new.cuda is not None else old.cuda,
        sass=new.sass if new.sass is not None else old.sass,
        ptx=new.ptx if new.ptx is not None else old.ptx,
        requires_dist=new.requires_dist if new.requires_dist is not None else old.requires_dist,
        requires_python=new.requires_python if new.requires_python is not None else old.requires_python,
        git=new.git if new.git is not None else old.git,
        origin=new.origin if new.sass is not None or old.sass is None else old.origin,
        detail=new.detail if new.sass is not None or old.sass is None else old.detail,
    )
