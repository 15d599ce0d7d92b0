"""Decides torch together with its companions: torch, then the set beside it, then torch again where that moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import field, replace
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge, companion_sets, packages
from gpuenv.knowledge.names import public
from gpuenv.model.decision import Companion, Decision, NoDecision, Reason, Rejected
from gpuenv.model.library import PackageFacts
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Wheel
from gpuenv.select.beside import Lack, Unfit, facts_in_table
from gpuenv.select.companions import (
    CompanionMachine,
    CompanionSet,
    NoSet,
    Nothing,
    Offer,
    Torch,
    Wanted,
    choose,
    missing_words,
    refusal_words,
)
from gpuenv.select.request import Request, gpus_in_scope
from gpuenv.select.target import TargetTags


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where wheels of companions are had and what is known of them; see :class:`~gpuenv.select.companions.Wanted`."""

    offers: Callable[[str, Torch], Sequence[Offer] | None]
    facts: Callable[[Wheel], PackageFacts | None] = facts_in_table
    requires: Callable[[Wheel], Sequence[str]] = lambda wheel: ()
    picked: Mapping[str, str] = field(default_factory=dict)
    """Versions that the resolver picked together with torch: no newer one goes with all that is asked for."""


def companions_of(texts: Sequence[str]) -> tuple[Requirement, ...]:
    """Those of some requirements that name a package with code for GPUs; NVIDIA's own libraries are none."""
    named = [Requirement(text) for text in texts]
    return tuple(each for each in named if is_companion(canonicalize_name(each.name)))


def is_companion(project: str) -> bool:
    """Whether a package outside torch's family is chosen with torch: by the tables, or by what its name says."""
    return packages.gpu_package(project) is not None or companion_sets.by_card(project) is not None


def settle_set(
    machine: Machine,
    profile: Profile,
    decision: Decision,
    request: Request,
    knowledge: Knowledge,
    places: Places,
    decide: Callable[[Request], Decision | NoDecision],
) -> Decision | NoDecision:
    """Choose the companions of a decision. Where another torch is needed for them, ``decide`` is asked for that one;
    one that it refuses is passed over. The decision itself where it has no companions, or is for the CPU."""
    named = companions_of(decision.others)
    if not named or decision.accelerator == "cpu":
        return decision
    bench = bench_of(machine, request, knowledge, places, python=decision.python)
    optional = {canonicalize_name(Requirement(text).name) for text in profile.optional_packages}
    wanted = [_wanted(each, places, optional) for each in named]
    torches = [Torch(wheel=each, cuda=_cuda(each, decision, knowledge)) for each in decision.torches]
    while torches:
        found = choose(wanted, torches, bench)
        if isinstance(found, NoSet):
            return _refused(found, bench, decision)
        if found.torch is torches[0] or found.torch.wheel == decision.packages[0]:
            return _with_set(decision, found, bench, decision)
        version = found.torch.wheel.version
        again = decide(replace(request, pins=(*request.pins, f"torch=={version}")))
        if isinstance(again, Decision) and again.packages[0] == found.torch.wheel:
            return _with_set(again, found, bench, decision)
        torches = [each for each in torches if each is not found.torch]
    return decision


def bench_of(
    machine: Machine, request: Request, knowledge: Knowledge, places: Places, *, python: str
) -> CompanionMachine:
    """What a set is chosen for: the cards in scope, and the interpreter that was decided."""
    capabilities = tuple(dict.fromkeys(gpu.compute_capability for gpu in gpus_in_scope(machine, request)))
    return CompanionMachine(
        capabilities=capabilities,
        target=TargetTags(machine, (python,), request.insist_unknown),
        driver_cuda=knowledge.machine_cuda(machine),
        platform=platform_of(machine, knowledge),
        knowledge=knowledge,
        facts=places.facts,
    )


def wheel_at(project: str, url: str) -> Wheel | None:
    """The wheel at an address that a person gave; ``None`` where that is none."""
    address, _, fragment = url.partition("#")
    filename = unquote(address.partition("?")[0].rpartition("/")[2])
    parts = filename.removesuffix(".whl").split("-")
    if len(parts) < 5 or not filename.endswith(".whl"):
        return None
    sha256 = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
    return Wheel(
        project=project,
        version=parts[1],
        filename=filename,
        url=address,
        source="find-links",
        channel="stable",
        variant=None,
        sha256=sha256,
    )


def _cuda(torch: Wheel, decision: Decision, knowledge: Knowledge) -> str:
    variant = decision.variant if torch == decision.packages[0] else knowledge.variant(torch) or ""
    return knowledge.cuda_of(variant) or ""


def platform_of(machine: Machine, knowledge: Knowledge) -> str:
    """The tables' name of a platform; a made-up one where torch is not built for it."""
    try:
        return knowledge.platform_of(machine.os, machine.arch)
    except ValueError:
        return f"{machine.os}_{machine.arch}"


def _wanted(named: Requirement, places: Places, optional: Set[str]) -> Wanted:
    project = canonicalize_name(named.name)

    def given(name: str, torch: Torch) -> Sequence[Offer] | None:
        """The wheel whose address stands in the line: what a person names is the only one of its project."""
        if named.url is None or name != project:
            return places.offers(name, torch)
        wheel = wheel_at(project, named.url)
        return [Offer(wheel=wheel, place="its address")] if wheel is not None else None

    specifier = named.specifier
    if project in places.picked and named.url is None:
        specifier &= SpecifierSet(f"<={public(places.picked[project])}")
    return Wanted(
        project=project,
        specifier=specifier,
        offers=given,
        requires=places.requires,
        optional=project in optional,
    )


def _with_set(decision: Decision, found: CompanionSet, bench: CompanionMachine, first: Decision) -> Decision:
    """The decision with its companions, each as the resolver is to take it, and what is said of them."""
    by_name = {each.project: each for each in found.chosen}
    left_out = {each.project for each in found.left_out}
    others = []
    for text in decision.others:
        name = canonicalize_name(Requirement(text).name)
        if name in left_out:
            continue
        chosen = by_name.get(name)
        others.append(text if chosen is None or chosen.wheel is None else taken_as(Requirement(text), chosen))
    own = {canonicalize_name(Requirement(text).name) for text in decision.others}
    others += [taken_as(Requirement(each.project), each) for each in found.chosen if each.project not in own]
    because = tuple(_moved(row, found, bench, first) for row in found.passed)
    warnings = [f"{each.project} {each.because}" for each in found.chosen if each.support in ("ptx", "idle", "unknown")]
    warnings += [f"{missing_words(row, bench)}: it is left out" for row in found.left_out]
    return replace(
        decision,
        others=tuple(others),
        companions=found.chosen,
        because=(*because, *decision.because),
        warnings=(*decision.warnings, *warnings),
        rejected=(*decision.rejected, *_rejected(found.refused)),
        refused=decision.refused + len(found.refused),
    )


def taken_as(named: Requirement, chosen: Companion) -> str:
    """The line as the resolver is to have it: the address of the wheel, or no newer version than the chosen one. An
    older one is the resolver's to take, where other packages ask for it."""
    if chosen.address:
        extras = f"[{','.join(sorted(named.extras))}]" if named.extras else ""
        marker = f" ; {named.marker}" if named.marker else ""
        return f"{named.name}{extras} @ {chosen.address}{marker}"
    bounded = Requirement(str(named))
    bounded.specifier &= SpecifierSet(f"<={public(chosen.version)}")
    return str(bounded)


def _moved(row: Nothing, found: CompanionSet, bench: CompanionMachine, first: Decision) -> str:
    version = public(found.torch.wheel.version)
    has = [found.torch.minor] if version != public(row.torch.wheel.version) else []
    said = missing_words(row, bench, has=has)
    return f"{said}; without it, torch {first.packages[0].version} would have been chosen."


def _refused(found: NoSet, bench: CompanionMachine, decision: Decision) -> NoDecision:
    summary, causes = refusal_words(found, bench)
    rows = _rejected([each for row in found.by_torch[0] for each in row.unfits])
    return NoDecision(summary=summary, causes=causes, rejected=(*rows, *decision.rejected))


_REASONS: dict[Lack, Reason] = {
    "version": "version",
    "empty": "companion",
    "platform": "platform",
    "python": "python",
    "torch": "companion",
    "cuda": "variant",
    "card": "kernels",
}


def _rejected(rows: Sequence[tuple[Wheel, Unfit]]) -> tuple[Rejected, ...]:
    """Wheels of companions as rejected candidates, one a version and reason."""
    counted = Counter((wheel.project, wheel.version, _REASONS[unfit.lacks], unfit.detail) for wheel, unfit in rows)
    return tuple(
        Rejected(
            candidate=f"{project} {version}",
            project=project,
            version=version,
            reason=reason,
            detail=detail,
            wheels=wheels,
        )
        for (project, version, reason, detail), wheels in counted.items()
    )
