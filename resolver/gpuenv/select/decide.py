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
from gpuenv.select import completeness, family, nothing, rules, words
from gpuenv.select.candidates import Entry, public_version
from gpuenv.select.completeness import Chosen
from gpuenv.select.docket import Docket
from gpuenv.select.family import Companions
from gpuenv.select.hearing import Hearing, distinct, hear, refuse_torch, sift
from gpuenv.select.kernels import Unknown
from gpuenv.select.prepare import prepare
from gpuenv.select.request import Mismatch, Request, fits
from gpuenv.select.rules import Case
from gpuenv.select.target import Refusal

_NOT_NEEDED = "not read: a better candidate was accepted"


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
    mismatch = fits(profile, machine, request, knowledge)
    if mismatch is not None:
        return _mismatched(mismatch, catalog)
    case, wishes = prepare(machine, profile, request, knowledge)
    return choose(hear(case, profile, wishes, sift(case, catalog), facts))


def _mismatched(mismatch: Mismatch, catalog: Catalog) -> NoDecision:
    docket = Docket()
    for wheel in distinct(catalog.wheels):
        docket.refuse(wheel, Refusal("excluded", "not looked at: profile and machine do not go together"))
    return NoDecision(summary=mismatch.message, causes=(), hints=mismatch.hints, rejected=docket.rejected())


def choose(hearing: Hearing) -> Decision | Questions | NoDecision:
    """Walk the candidates from the best on until one has its family."""
    companions = Companions(hearing.companions)
    for place, (_, outcome) in enumerate(hearing.standing):
        found = _family(hearing, outcome.entry, companions=companions)
        if isinstance(found, family.Missing):
            refuse_torch(hearing, outcome.entry, Refusal("companion", found.detail))
            continue
        if isinstance(outcome, Unknown):
            if (limit := _reads_spent(hearing)) is None:
                return Questions(items=(Question(wheel=outcome.entry.wheel, about=outcome.about),))
            refuse_torch(hearing, outcome.entry, limit)
            continue
        if isinstance(found, family.Needed):
            return Questions(items=found.questions)
        if not outcome.native and _nightly_left(hearing):
            _settle_rest(hearing)
            return nothing.only_ptx(hearing, outcome)
        return _fullest(hearing, place, found, companions)
    _settle_rest(hearing)
    return nothing.no_decision(hearing, wants_nightly=_nightly_left(hearing))


def _fullest(hearing: Hearing, place: int, found: family.Found, companions: Companions) -> Decision | Questions:
    """Take the fullest family at this torch, and find out what would bring the rest of it."""
    family_of = partial(_family, hearing, companions=companions)
    chosen = completeness.fullest(hearing, place, found, family_of)
    if isinstance(chosen, tuple):
        return Questions(items=chosen)
    other = completeness.other_release(hearing, chosen, family_of) if chosen.found.left_out else None
    if isinstance(other, tuple):
        return Questions(items=other)
    return _decision(hearing, chosen, companions, other=other)


def _family(hearing: Hearing, entry: Entry, *, companions: Companions) -> family.Outcome:
    return family.find_family(
        hearing.case,
        entry,
        companions,
        hearing.facts,
        required=hearing.wishes.required,
        optional=hearing.wishes.optional,
    )


def _reads_spent(hearing: Hearing) -> Refusal | None:
    """The limit of reading: a page of 60 nightlies in which no wheel has the code is not read to its end."""
    read = {
        entry.sibling_key
        for entry, refusal in hearing.judged
        if refusal.reason == "kernels" and hearing.facts.kernels(entry)
    }
    if len(read) < hearing.case.request.most_reads:
        return None
    return Refusal("unknown-kernels", f"not read: {len(read)} newer wheels were read, and none has the code")


def _nightly_left(hearing: Hearing) -> bool:
    """Whether the profile allows nightlies and none were offered yet. A CPU build never needs one for its kernels."""
    case = hearing.case
    pinned = any(specifiers.prereleases for specifiers in case.wanted["torch"])
    offered = case.request.nightly_offered or hearing.nightly
    return case.channel == "auto" and not offered and (not case.cpu or pinned)


def _settle_rest(hearing: Hearing) -> None:
    """Give a verdict to everything that was not accepted."""
    for _, outcome in hearing.standing:
        if not hearing.docket.has(outcome.entry.wheel):
            hearing.docket.refuse(outcome.entry.wheel, Refusal("unknown-kernels", _NOT_NEEDED))
    for entry in hearing.companions:
        if not hearing.docket.has(entry.wheel):
            hearing.docket.refuse(entry.wheel, Refusal("companion", "goes with no torch that was accepted"))


def _accept(hearing: Hearing, chosen: Chosen, companions: Companions) -> None:
    """Rank the chosen family 0 and every other complete one after it, as far as nothing has to be read for it."""
    ranks: dict[str, tuple[Entry, int, str]] = {}
    families: list[family.Found] = [chosen.found]
    for _, outcome in hearing.standing:
        if isinstance(outcome, Unknown) or outcome is chosen.outcome or hearing.docket.has(outcome.entry.wheel):
            continue
        match _family(hearing, outcome.entry, companions=companions):
            case family.Found() as other:
                families.append(other)
            case family.Missing(detail=detail):
                hearing.docket.refuse(outcome.entry.wheel, Refusal("companion", detail))
            case family.Needed():
                hearing.docket.refuse(outcome.entry.wheel, Refusal("companion", _NOT_NEEDED))
    for number, each in enumerate(families):
        for entry in each.members:
            ranks.setdefault(entry.wheel.url, (entry, number, f"Python {each.python}"))
    for entry, number, detail in ranks.values():
        hearing.docket.accept(entry.wheel, rank=number, detail=detail)


def _decision(hearing: Hearing, chosen: Chosen, companions: Companions, *, other: Version | None) -> Decision:
    case, outcome, found = hearing.case, chosen.outcome, chosen.found
    entry = outcome.entry
    because = words.because(hearing, chosen)
    _accept(hearing, chosen, companions)
    _settle_rest(hearing)
    return Decision(
        profile=hearing.profile.name,
        accelerator="cpu" if case.cpu else "cuda",
        python=found.python,
        channel=entry.wheel.channel,
        variant=entry.variant or "unknown",
        source=entry.wheel.source,
        packages=tuple(member.wheel for member in found.members),
        requires=family.known_requires(case, found.members, hearing.facts),
        others=hearing.wishes.others,
        kernels=outcome.kernels,
        gpus=outcome.gpus,
        driver=_driver_support(case, entry),
        because=because,
        warnings=words.warnings(hearing, chosen, other=other),
        accepted=hearing.docket.accepted(),
        rejected=hearing.docket.rejected(),
        alternatives=_alternatives(hearing, chosen, companions),
    )


def _alternatives(hearing: Hearing, chosen: Chosen, companions: Companions) -> tuple[Wheel, ...]:
    """The chosen family and, of the same channel, source and Python, the best wheel of every other release."""
    entry, python = chosen.outcome.entry, chosen.found.python
    projects = [member.wheel.project for member in chosen.found.members[1:]]
    rows = {(each.wheel.project, public_version(each.wheel.version)): each.wheel for each in chosen.found.members}
    missing = {other.wheel.url for other, refusal in hearing.judged if refusal.reason == "companion"}
    for _, outcome in hearing.standing:
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


def _driver_support(case: Case, entry: Entry) -> DriverSupport | None:
    driver = case.machine.driver
    if case.cpu or driver is None or entry.variant is None:
        return None
    verdict = rules.judge_driver(case, entry.variant)
    if verdict.floor is None:
        return None
    return DriverSupport(
        required=verdict.floor.minimum, found=driver.version, full=verdict.full, source=verdict.floor.source
    )
