"""The decision: which family of wheels a machine gets, and why each other one does not."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from packaging.version import Version

from gpuenv.knowledge import Knowledge
from gpuenv.model.decision import Decision, DriverSupport, NoDecision, Question, Questions
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Catalog, Wheel, WheelContents
from gpuenv.select import completeness, family, rules, words
from gpuenv.select.candidates import CatalogEntry, public_version
from gpuenv.select.completeness import Chosen
from gpuenv.select.evaluation import Evaluation, distinct, evaluate, filter_wheels, refuse_torch
from gpuenv.select.family import Companions
from gpuenv.select.kernels import Unknown
from gpuenv.select.prepare import prepare
from gpuenv.select.request import ProfileMismatch, Request, fits
from gpuenv.select.rules import Problem
from gpuenv.select.target import Refusal
from gpuenv.select.verdicts import Rejections, Verdicts
from gpuenv.select.words import compile_warnings

_NOT_NEEDED = "not read: a better candidate was accepted"
_UNREAD = Refusal("unknown-kernels", _NOT_NEEDED)
_ALONE = Refusal("companion", "goes with no torch that was accepted")


def decide(
    machine: Machine,
    profile: Profile,
    catalog: Catalog,
    facts: Mapping[str, WheelContents],
    request: Request,
    knowledge: Knowledge,
) -> Decision | Questions | NoDecision:
    """Decide the family of wheels for a machine; pure, without input or output.

    ``facts`` is what was read out of wheels, by URL. Where something must be read first, :class:`Questions` names just
    that: read it, add the answers to ``facts`` (or, where reading failed, to ``request.unanswered``), ask again. Every
    wheel of the catalog ends in ``accepted`` or ``rejected`` of the answer. The same arguments give the same answer, in
    any order of the catalog.
    """
    if (mismatch := fits(profile, machine, request, knowledge)) is not None:
        return mismatched(mismatch, catalog)
    problem = prepare(machine, profile, request, knowledge)
    return choose(evaluate(problem, filter_wheels(problem, catalog), facts))


def mismatched(mismatch: ProfileMismatch, catalog: Catalog) -> NoDecision:
    """Refuse every wheel, because the profile is not for the machine."""
    verdicts = Verdicts()
    for wheel in distinct(catalog.wheels).values():
        verdicts.refuse(wheel, Refusal("excluded", "not looked at: profile and machine do not go together"))
    return NoDecision(summary=mismatch.message, causes=(), hints=mismatch.hints, rejected=verdicts.rejected())


def choose(evaluation: Evaluation) -> Decision | Questions | NoDecision:
    """Walk the candidates from the best on until one has its family."""
    companions = Companions(evaluation.companions)
    for place, (_, outcome) in enumerate(evaluation.candidates):
        found = _family(evaluation, outcome.entry, companions=companions)
        if isinstance(found, family.Missing):
            refuse_torch(evaluation, outcome.entry, Refusal("companion", found.detail))
            continue
        if isinstance(outcome, Unknown):
            if (limit := _reads_spent(evaluation)) is None:
                return Questions(items=(Question(wheel=outcome.entry.wheel, about=outcome.about),))
            refuse_torch(evaluation, outcome.entry, limit)
            continue
        if isinstance(found, family.Needed):
            return Questions(items=found.questions)
        if not outcome.native and _nightly_left(evaluation):
            _settle_rest(evaluation)
            from gpuenv.select.nothing import only_ptx

            return only_ptx(evaluation, outcome)
        return _fullest(evaluation, place, found, companions)
    _settle_rest(evaluation)
    from gpuenv.select.nothing import no_decision

    return no_decision(evaluation, wants_nightly=_nightly_may_help(evaluation))


def _fullest(
    evaluation: Evaluation, place: int, found: family.TorchFamily, companions: Companions
) -> Decision | Questions:
    """Take the fullest family at this torch, and find out what would bring the rest of it."""
    family_of = partial(_family, evaluation, companions=companions)
    chosen = completeness.fullest(evaluation, place, found, family_of)
    if isinstance(chosen, tuple):
        return Questions(items=chosen)
    other = completeness.other_release(evaluation, chosen, family_of) if chosen.found.left_out else None
    if isinstance(other, tuple):
        return Questions(items=other)
    return _decision(evaluation, chosen, companions, other=other)


def _family(evaluation: Evaluation, entry: CatalogEntry, *, companions: Companions) -> family.Outcome:
    return family.find_family(
        evaluation.problem,
        entry,
        companions,
        evaluation.facts,
        required=evaluation.problem.constraints.required,
        optional=evaluation.problem.constraints.optional,
    )


def _reads_spent(evaluation: Evaluation) -> Refusal | None:
    """The limit of reading: a page of 60 nightlies in which no wheel has the code is not read to its end."""
    read = {entry.sibling_key for entry, _ in evaluation.refused("kernels") if evaluation.facts.kernels(entry)}
    if len(read) < evaluation.problem.request.most_reads:
        return None
    return Refusal("unknown-kernels", f"not read: {len(read)} newer wheels were read, and none has the code")


def _nightly_left(evaluation: Evaluation) -> bool:
    """Whether the profile allows nightlies and none were offered yet. A CPU build never needs one for its kernels."""
    problem = evaluation.problem
    pinned = any(specifiers.prereleases for specifiers in problem.constraints.versions["torch"])
    offered = problem.request.nightly_offered or evaluation.nightly
    return problem.channel == "auto" and not offered and (not problem.cpu or pinned)


def _nightly_may_help(evaluation: Evaluation) -> bool:
    from gpuenv.select.nightlies import could_help

    return _nightly_left(evaluation) and could_help(evaluation)


def _settle_rest(evaluation: Evaluation) -> None:
    """Give a verdict to everything that was not accepted."""
    for _, outcome in evaluation.candidates:
        if not evaluation.verdicts.has(outcome.entry.wheel):
            evaluation.verdicts.refuse(outcome.entry.wheel, _UNREAD)
    for entry in evaluation.companions:
        if not evaluation.verdicts.has(entry.wheel):
            evaluation.verdicts.refuse(entry.wheel, _ALONE)


def _accept(evaluation: Evaluation, chosen: Chosen, companions: Companions) -> None:
    """Rank the chosen family 0 and every other complete one after it, as far as nothing has to be read for it."""
    ranks: dict[str, tuple[CatalogEntry, int, str]] = {}
    families: list[family.TorchFamily] = [chosen.found]
    for _, outcome in evaluation.candidates:
        if isinstance(outcome, Unknown) or outcome is chosen.outcome or evaluation.verdicts.has(outcome.entry.wheel):
            continue
        match _family(evaluation, outcome.entry, companions=companions):
            case family.TorchFamily() as other:
                families.append(other)
            case family.Missing(detail=detail):
                evaluation.verdicts.refuse(outcome.entry.wheel, Refusal("companion", detail))
            case family.Needed():
                evaluation.verdicts.refuse(outcome.entry.wheel, Refusal("companion", _NOT_NEEDED))
    for number, each in enumerate(families):
        for entry in each.members:
            ranks.setdefault(entry.wheel.url, (entry, number, each.python))
    for entry, number, python in ranks.values():
        evaluation.verdicts.accept(entry.wheel, rank=number, python=python)


def _decision(evaluation: Evaluation, chosen: Chosen, companions: Companions, *, other: Version | None) -> Decision:
    problem, outcome, found = evaluation.problem, chosen.outcome, chosen.found
    entry = outcome.entry
    because = words.because(evaluation, chosen)
    _accept(evaluation, chosen, companions)
    _settle_rest(evaluation)
    return Decision(
        profile=evaluation.problem.profile.name,
        accelerator="cpu" if problem.cpu else "cuda",
        python=found.python,
        channel=entry.wheel.channel,
        variant=entry.variant or "unknown",
        source=entry.wheel.source,
        packages=tuple(member.wheel for member in found.members),
        requires=family.known_requires(found.members, evaluation.facts),
        others=evaluation.problem.constraints.others,
        kernels=outcome.kernels,
        gpus=outcome.gpus,
        driver=_driver_support(problem, entry),
        because=because,
        warnings=(*words.warnings(evaluation, chosen, other=other), *compile_warnings(evaluation, entry)),
        accepted=evaluation.verdicts.accepted(),
        rejected=Rejections(evaluation.verdicts),
        refused=evaluation.verdicts.refused,
        alternatives=_alternatives(evaluation, chosen, companions),
        torches=_torches(evaluation, chosen) if problem.constraints.others else (),
    )


def _torches(evaluation: Evaluation, chosen: Chosen) -> tuple[Wheel, ...]:
    """The chosen torch and, of the same channel, source and Python, the best of every release and CUDA major."""
    first, python = chosen.outcome.entry, chosen.found.python
    missing = {other.wheel.url for other, _ in evaluation.refused("companion")}
    rows: dict[tuple[Version, str], Wheel] = {}
    for entry in (first, *(outcome.entry for _, outcome in evaluation.candidates)):
        if entry.origin == first.origin and python in entry.pythons and entry.wheel.url not in missing:
            cuda = evaluation.problem.knowledge.cuda_of(entry.variant or "") or ""
            rows.setdefault((public_version(entry.wheel.version), cuda.partition(".")[0]), entry.wheel)
    return tuple(rows.values())


def _alternatives(evaluation: Evaluation, chosen: Chosen, companions: Companions) -> tuple[Wheel, ...]:
    """The chosen family and, of the same channel, source and Python, the best wheel of every other release."""
    entry, python = chosen.outcome.entry, chosen.found.python
    projects = [member.wheel.project for member in chosen.found.members[1:]]
    rows = {(each.wheel.project, public_version(each.wheel.version)): each.wheel for each in chosen.found.members}
    missing = {other.wheel.url for other, _ in evaluation.refused("companion")}
    for _, outcome in evaluation.candidates:
        other = outcome.entry
        if other.origin != entry.origin or python not in other.pythons or other.wheel.url in missing:
            continue
        if ("torch", public_version(other.wheel.version)) in rows and other is not entry:
            continue  # a better one of this release stands there
        rows[("torch", public_version(other.wheel.version))] = other.wheel
        for project in projects:
            for each in companions.beside(other, project, python):
                rows.setdefault((project, public_version(each.wheel.version)), each.wheel)
    return tuple(rows.values())


def _driver_support(problem: Problem, entry: CatalogEntry) -> DriverSupport | None:
    driver = problem.machine.driver
    if problem.cpu or driver is None or entry.variant is None:
        return None
    verdict = rules.check_driver(problem, entry.variant)
    if verdict.floor is None:
        return None
    return DriverSupport(
        required=verdict.floor.minimum, found=driver.version, full=verdict.full, source=verdict.floor.source
    )
