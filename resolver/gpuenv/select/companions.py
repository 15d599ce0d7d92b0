"""Chooses the companions of torch as one set: one torch, one CUDA major, code for every card; pure.

Torch stays where it was decided as long as each companion has a wheel beside it. Else the next best torch is tried for
which all of them have one: what is bound to a torch or to a CUDA decides it, as a package that pins torch does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge, companion_sets, packages
from gpuenv.knowledge.names import local, platform_of_filename, public
from gpuenv.knowledge.rules import NoCode, newest, serve
from gpuenv.metadata import parse_requirement, parse_version
from gpuenv.model.decision import Companion
from gpuenv.model.library import PackageFacts
from gpuenv.model.machine import ComputeCapability
from gpuenv.model.wheel import Wheel
from gpuenv.select.beside import Fit, Lack, Unfit, beside
from gpuenv.select.companion_verdict import Surroundings
from gpuenv.select.target import Refusal, TargetTags

_ORDER: tuple[Lack, ...] = ("version", "empty", "platform", "python", "torch", "cuda", "card")
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A wheel of a companion. ``rank`` orders places: what a person named, PyTorch's folder, the index, a page."""

    wheel: Wheel
    place: str
    rank: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Torch:
    """A torch that may be chosen: its wheel, and the CUDA it is built with."""

    wheel: Wheel
    cuda: str

    @property
    def minor(self) -> str:
        """``2.15`` of 2.15.0+cu132."""
        return ".".join(self.wheel.version.split("+")[0].split(".")[:2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A companion that is asked for. ``offers`` gives its wheels for a torch, ``None`` where no place could be asked;
    ``requires`` what a wheel asks of torch, as far as that is known."""

    project: str
    specifier: SpecifierSet
    offers: Callable[[str, Torch], Sequence[Offer] | None]
    requires: Callable[[Wheel], Sequence[str]] = lambda wheel: ()
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionMachine:
    """The machine and the interpreter that a set is chosen for, and what is known of wheels."""

    capabilities: tuple[ComputeCapability, ...]
    target: TargetTags
    driver_cuda: str | None
    platform: str
    knowledge: Knowledge
    facts: Callable[[Wheel], PackageFacts | None]

    @property
    def python(self) -> str:
        return self.target.pythons[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """A companion without a wheel beside a torch: every wheel there is, with what it is not for."""

    project: str
    torch: Torch
    unfits: tuple[tuple[Wheel, Unfit], ...]

    @property
    def lacks(self) -> Lack | None:
        """What the wheels that came nearest are not for; ``None`` where there is no wheel at all."""
        found = [unfit.lacks for _, unfit in self.unfits]
        return max(found, key=_ORDER.index) if found else None

    @property
    def nearest(self) -> tuple[tuple[Wheel, Unfit], ...]:
        return tuple(row for row in self.unfits if row[1].lacks == self.lacks)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionSet:
    """What was chosen beside ``torch``. ``passed`` are torches that come before it and lack a companion;
    ``left_out`` are optional companions without a wheel; ``refused`` are wheels that do not go with it."""

    torch: Torch
    chosen: tuple[Companion, ...]
    refused: tuple[tuple[Wheel, Unfit], ...]
    passed: tuple[Nothing, ...] = ()
    left_out: tuple[Nothing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSet:
    """No torch has a wheel of every companion: of each torch the companions that lack one, the decided torch first."""

    by_torch: tuple[tuple[Nothing, ...], ...]


def choose(wanted: Sequence[Wanted], torches: Sequence[Torch], bench: CompanionMachine) -> CompanionSet | NoSet:
    """Choose the best torch for which every companion has a wheel, and those wheels."""
    lacking: list[tuple[Nothing, ...]] = []
    for torch in torches:
        refused: list[tuple[Wheel, Unfit]] = []
        found = [_one(each, torch, bench, refused) for each in wanted]
        missing = tuple(
            row for each, row in zip(wanted, found, strict=True) if isinstance(row, Nothing) and not each.optional
        )
        if missing:
            lacking.append(missing)
            continue
        left_out = tuple(row for row in found if isinstance(row, Nothing))
        chosen = tuple(each for row in found if not isinstance(row, Nothing) for each in row)
        passed = tuple(row[0] for row in lacking[:1])
        return CompanionSet(torch=torch, chosen=chosen, refused=tuple(refused), passed=passed, left_out=left_out)
    return NoSet(by_torch=tuple(lacking))


def _one(
    wanted: Wanted, torch: Torch, bench: CompanionMachine, refused: list[tuple[Wheel, Unfit]]
) -> tuple[Companion, ...] | Nothing:
    """The best wheel beside a torch with the packages for its cards, or why there is none. Wheels that come before it
    and do not fit are added to ``refused``; those after it are not looked at."""
    offers = wanted.offers(wanted.project, torch)
    if offers is None:
        because = "is taken as the lock finds it: no place could be asked"
        unasked = Companion(
            project=wanted.project, version="", wheel=None, place="", support="unknown", because=because
        )
        return (unasked,)
    unfits: list[tuple[Wheel, Unfit]] = []
    for offer in sorted(offers, key=_order, reverse=True):
        fit = _fits(offer, wanted, torch, bench, offers)
        found = fit if isinstance(fit, Unfit) else _with_cards(offer, fit, wanted, torch, bench, unfits)
        if not isinstance(found, Unfit):
            refused += unfits
            return found
        unfits.append((offer.wheel, found))
    refused += unfits
    return Nothing(project=wanted.project, torch=torch, unfits=tuple(unfits))


def _order(offer: Offer) -> tuple[Version, int, bool, str, str]:
    """Newest first, then the nearer place; a compiled wheel before an empty one; last a total tie-break."""
    wheel = offer.wheel
    return (
        parse_version(public(wheel.version)) or Version("0"),
        -offer.rank,
        not wheel.filename.endswith("-any.whl"),
        local(wheel.version).lower(),
        wheel.filename,
    )


def _fits(offer: Offer, wanted: Wanted, torch: Torch, bench: CompanionMachine, offers: Sequence[Offer]) -> Fit | Unfit:
    wheel = offer.wheel
    version = parse_version(wheel.version)
    if version is None or not _asked_for(wanted.specifier, version) or wheel.yanked is not None:
        return Unfit(lacks="version", detail=f"{wanted.project} {wheel.version}: {wanted.specifier or 'yanked'}")
    parts = wheel.filename.removesuffix(".whl").split("-")
    if len(parts) < 5:
        return Unfit(lacks="version", detail=f"{wheel.filename} is no wheel's name")
    if _is_twin(wheel, offers):
        return Unfit(lacks="empty", detail=f"{wanted.project} {wheel.version} py3-none-any has no kernels: another has")
    if (refusal := bench.target.refuses_platform(parts[-1])) is not None:
        return Unfit(lacks="platform", detail=f"{wanted.project} {wheel.version}: {refusal.detail}")
    accepted = bench.target.accepts_pythons(parts[-3], parts[-2])
    if isinstance(accepted, Refusal):
        return Unfit(lacks="python", detail=f"{wanted.project} {wheel.version}: {accepted.detail}")
    for text in wanted.requires(wheel):
        named = parse_requirement(text)
        if named is not None and named.name == "torch" and not named.specifier.contains(torch.wheel.version):
            return Unfit(lacks="torch", detail=f"{wanted.project} {wheel.version} requires torch{named.specifier}")
    around = surroundings(torch, bench)
    return beside(wanted.project, wheel.version, around, facts=bench.facts(wheel), knowledge=bench.knowledge)


def surroundings(torch: Torch, bench: CompanionMachine) -> Surroundings:
    """What companions are put beside."""
    return Surroundings(
        torch=torch.wheel.version,
        cuda=torch.cuda,
        python=bench.python.removesuffix("t"),
        capabilities=bench.capabilities,
        driver_cuda=bench.driver_cuda,
        platform=bench.platform,
    )


def _asked_for(specifier: SpecifierSet, version: Version) -> bool:
    """Local parts are compared as they are normalized; a pre-release has to be asked for."""
    if version.is_prerelease and not specifier.prereleases:
        return False
    return specifier.contains(version, prereleases=True)


def _is_twin(wheel: Wheel, offers: Sequence[Offer]) -> bool:
    """A wheel for any platform beside one of its version that is for some: the one without what was compiled."""
    if platform_of_filename(wheel.filename) is not None or not wheel.filename.endswith("-any.whl"):
        return False
    return any(
        other.wheel.version == wheel.version and platform_of_filename(other.wheel.filename) is not None
        for other in offers
    )


def _with_cards(
    offer: Offer, fit: Fit, wanted: Wanted, torch: Torch, bench: CompanionMachine, passed: Sequence[tuple[Wheel, Unfit]]
) -> tuple[Companion, ...] | Unfit:
    """The companion, and beside it the packages that hold its code for each card where they are apart."""
    shim = _companion(offer, fit, wanted.project, passed)
    split = companion_sets.by_card(wanted.project)
    version = public(offer.wheel.version)
    if split is None or (parse_version(version) or Version("0")) < Version(split.since):
        return (shim,)
    found: dict[str, Companion] = {}
    for capability in bench.capabilities:
        serving = _serving(split, capability, torch, bench)
        if serving is None:
            detail = f"{wanted.project} {version} has no package for {capability}"
            return Unfit(lacks="card", detail=detail, card=capability)
        if serving in found:
            continue
        rows = [each for each in wanted.offers(serving, torch) or () if each.wheel.version == offer.wheel.version]
        part = replace(wanted, project=serving, specifier=SpecifierSet())
        fits = [(each, _fits(each, part, torch, bench, rows)) for each in sorted(rows, key=_order, reverse=True)]
        good = next(((each, fit) for each, fit in fits if isinstance(fit, Fit)), None)
        if good is None:
            detail = f"{serving} {offer.wheel.version}, for {capability}, is not offered"
            return Unfit(lacks="card", detail=detail, card=capability)
        found[serving] = _companion(good[0], good[1], serving, ())
    return (replace(shim, support="no-code"), *found.values())


def _serving(
    split: companion_sets.ByCard, capability: ComputeCapability, torch: Torch, bench: CompanionMachine
) -> str | None:
    """The package whose code a card runs; the newest code of several."""
    names = {code: name for name, code in split.packages}
    answer = serve(
        capability,
        sass=tuple(names),
        ptx=(),
        cuda=torch.cuda,
        driver_cuda=bench.driver_cuda,
        platform=bench.platform,
        rules=bench.knowledge.code_rules,
    )
    return None if isinstance(answer, NoCode) else names[answer.by]


def _companion(offer: Offer, fit: Fit, project: str, passed: Sequence[tuple[Wheel, Unfit]]) -> Companion:
    newer = [unfit for wheel, unfit in passed if _newer(wheel, offer.wheel)]
    words = {
        "native": f"runs natively by {fit.by}",
        "no-code": "holds no code for a card, and needs none",
    }
    because = words.get(fit.support, fit.said)
    if newer:
        because += f"; not a newer one: {newer[0].detail}"
    return Companion(
        project=project,
        version=offer.wheel.version,
        wheel=offer.wheel,
        place=offer.place,
        support=fit.support,
        by=fit.by,
        because=because,
        source=fit.source,
    )


def _newer(one: Wheel, other: Wheel) -> bool:
    return (parse_version(public(one.version)) or Version("0")) > (parse_version(public(other.version)) or Version("0"))


def missing_words(nothing: Nothing, bench: CompanionMachine, *, has: Sequence[str] = ()) -> str:
    """The sentence on a companion without a wheel: what it lacks one for, and what there is one for.

    ``has`` are torches that were found to have one.
    """
    name, torch = nothing.project, nothing.torch
    match nothing.lacks:
        case None:
            return f"{name}: no wheel anywhere that was asked"
        case "version":
            return f"{name}: no wheel of a version that was asked for"
        case "empty":
            return f"{name}: no wheel with kernels"
        case "platform":
            libc = f" with {bench.target.machine.libc}" if bench.target.machine.libc else ""
            return f"{name}: no wheel for {bench.target.words}{libc}"
        case "python":
            return f"{name}: no wheel for Python {bench.python}{_have(_pythons(nothing))}"
        case "torch":
            named = {minor for wheel, _ in nothing.nearest if (minor := packages.torch_in(wheel.version))}
            return f"{name}: no wheel for torch {torch.minor}{_have(_descending(named | set(has)))}"
        case "cuda":
            return f"{name}: no wheel for CUDA {torch.cuda.partition('.')[0]} beside torch {torch.wheel.version}"
        case "card":
            cards = nothing.nearest[0][1].card or " and ".join(dict.fromkeys(map(str, bench.capabilities)))
            return f"{name}: no wheel has code for {cards} beside torch {torch.wheel.version}"


def _pythons(nothing: Nothing) -> list[str]:
    found = set()
    for wheel, _ in nothing.nearest:
        for tag in wheel.filename.removesuffix(".whl").split("-")[-3].split("."):
            if tag.startswith("cp") and tag[2:].isdecimal():
                found.add(f"{tag[2]}.{tag[3:]}")
    return _descending(found)


def _descending(versions: set[str]) -> list[str]:
    left, found = set(versions), []
    while (first := newest(left)) is not None:
        found.append(first)
        left.discard(first)
    return found


def _have(versions: Sequence[str]) -> str:
    if not versions:
        return ""
    *first, last = versions[:_SHOWN]
    listed = f"{', '.join(first)} and {last} have" if first else f"{last} has"
    return f"; {listed}"


def refusal_words(nothing: NoSet, bench: CompanionMachine) -> tuple[str, tuple[str, ...]]:
    """Why there is no set: one sentence, and the facts behind it."""
    first = nothing.by_torch[0]
    never = [
        row for row in first if all(any(row.project == each.project for each in rows) for rows in nothing.by_torch)
    ]
    details = tuple(dict.fromkeys(_details(row for rows in nothing.by_torch for row in rows)))
    if never:
        others = tuple(missing_words(row, bench) for row in never[1:])
        return missing_words(never[0], bench), (*others, *details)
    names = " and ".join(dict.fromkeys(row.project for rows in nothing.by_torch for row in rows))
    return f"no torch that fits this machine goes with {names} together", details


def _details(rows: Iterator[Nothing]) -> Iterator[str]:
    for row in rows:
        yield from dict.fromkeys(unfit.detail for _, unfit in row.nearest[:_SHOWN])
        yield from dict.fromkeys(unfit.detail for _, unfit in row.unfits if unfit.lacks == "empty")
